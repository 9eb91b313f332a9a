"""`pollux learn`: models trained from the marts.

A sub-command for each trained model (`orchestration.learn.propensity.training`). Recommendations
are learned by a build (`orchestration.learn.recommend.land`).
"""

from dataclasses import asdict
from typing import Annotated

import typer

from cli import output
from pollux.runtime.settings import Settings

models = typer.Typer(help="Train a model from the marts.", no_args_is_help=True)


@models.callback()
def _models() -> None:
    """Keeps `propensity` a sub-command while it is the only one."""


@models.command()
def propensity(
    seed: Annotated[int, typer.Option(min=0, help="Same data and seed, same model.")] = 1,
    if_due: Annotated[
        bool, typer.Option("--if-due", help="Only if the data changed since the last model.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Trains the model that predicts coupon use by customers; it must beat the baselines."""
    from orchestration.learn.propensity.training import is_due, train

    settings = Settings()
    if if_due and not is_due(settings):
        output.note("The last coupon-propensity model was trained on these data.")
        return
    with output.step("learn") as step:
        card = train(settings, seed=seed, progress=step.update)
        measured = card.test["model"]
        step.result = f"{card.id}: {card.trees} trees, PR-AUC {measured.pr_auc:.4f} on the test"
        step.has_failed = not card.is_promoted
    if as_json:
        output.print_json(asdict(card))
    if not card.is_promoted:
        output.note(
            f"Not promoted: {'; '.join(card.reasons)}. "
            f"{card.replaces or 'No model'} scores, as before."
        )
