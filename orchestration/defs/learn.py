"""The learned assets: recommendations where due, and the coupon-propensity model.

`orchestration.learn` does the learning.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.build import loaded_domains
from orchestration.chain import learn_recommendations
from orchestration.defs.resources import POOL, RESOURCE_KEYS, final, masked_errors
from orchestration.learn.propensity.errors import LearnError
from orchestration.learn.propensity.training import is_due, train
from orchestration.learn.recommend.land import NAME, read_note
from orchestration.load.declarations import LEARNED

if TYPE_CHECKING:
    from pollux.runtime.settings import Settings

RECOMMENDATIONS = dg.AssetKey([LEARNED, NAME])
PROPENSITY = dg.AssetKey([LEARNED, "coupon_propensity"])
PROMOTED_CHECK = "beats_both_baselines"
# Tastes change slowly, and training takes minutes: once a week is enough.
WEEKLY = "0 3 * * 0"


def build_learn_definitions(retries: dg.RetryPolicy | None) -> dg.Definitions:
    """The learned assets, and the week's learning."""
    learning = dg.define_asset_job(
        "learning",
        selection=dg.AssetSelection.assets(RECOMMENDATIONS, PROPENSITY),
        description="Learns what is due: recommendations, the coupon-propensity model.",
    )
    weekly = dg.ScheduleDefinition(
        name="weekly_learning",
        job=learning,
        cron_schedule=WEEKLY,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="In the night to Sunday; the next daily run releases the results.",
    )
    assets = [_recommendations_asset(retries), _propensity_asset(retries)]
    return dg.Definitions(assets=assets, jobs=[learning], schedules=[weekly])


def _recommendations_asset(retries: dg.RetryPolicy | None) -> dg.AssetsDefinition:
    @dg.asset(
        key=RECOMMENDATIONS,
        description="Products for each household's next basket, learned anew where the purchases, "
        "the products or the rules changed; a mart with tests reads them.",
        deps=[
            ["household", "transaction_data"],
            ["household", "product"],
            ["events", "basket_lines"],
        ],
        group_name="learned",
        kinds={"numpy", "parquet"},
        required_resource_keys=RESOURCE_KEYS,
        retry_policy=retries,
        pool=POOL,
    )
    def _asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        settings: Settings = context.resources.settings
        with masked_errors():
            has_learned = learn_recommendations(settings, context.resources.reporter.step)
        note = read_note(settings)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": note.get("rows", 0),
                "learned now": has_learned,
                "choose, seconds": note.get("choose_seconds", 0),
                "fit and score, seconds": note.get("fit_and_score_seconds", 0),
                "parameters": note.get("parameters", {}),
            }
        )

    return _asset


def _propensity_asset(retries: dg.RetryPolicy | None) -> dg.AssetsDefinition:
    @dg.asset(
        key=PROPENSITY,
        description="The model that predicts coupon use by customers, trained again if the shop's "
        "data changed, and promoted if it beats both baselines.",
        deps=[
            ["store", "marts", name] for name in ("coupon_info", "customer_info", "product_info")
        ],
        group_name="scorer",
        kinds={"lightgbm"},
        check_specs=[
            dg.AssetCheckSpec(
                PROMOTED_CHECK,
                asset=PROPENSITY,
                description="Whether the model beats both baselines on the validation window; if "
                "not, the earlier model stays in use.",
            )
        ],
        required_resource_keys=RESOURCE_KEYS,
        retry_policy=retries,
        pool=POOL,
    )
    def _asset(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        with masked_errors():
            yield _train(context)

    return _asset


def _train(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    settings: Settings = context.resources.settings
    if "store" not in loaded_domains(settings) or not is_due(settings):
        return _trained(is_promoted=True, said="nothing new to learn from")
    try:
        card = train(settings)
    except LearnError as error:
        raise final(context, str(error)) from error
    measured = {name: found.pr_auc for name, found in card.test.items()}
    return _trained(
        is_promoted=card.is_promoted,
        said="; ".join(card.reasons) or "promoted",
        metadata={"model": card.id, "trees": card.trees}
        | {f"PR-AUC, {name}": value for name, value in measured.items()},
    )


def _trained(
    *, is_promoted: bool, said: str, metadata: dict[str, Any] | None = None
) -> dg.MaterializeResult[None]:
    check = dg.AssetCheckResult(
        check_name=PROMOTED_CHECK,
        passed=is_promoted,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"outcome": said},
    )
    return dg.MaterializeResult(
        metadata={"outcome": said} | (metadata or {}), check_results=[check]
    )
