"""`pollux evaluate`: measures learned models on data that they did not see.

Belongs here: a sub-command for each evaluation, its options and its table. Does not belong here:
measuring and the page (`orchestration.learn.recommend`), and the measures that a training makes
itself (`learn`).
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli import output
from pollux.runtime.privacy import as_the_user_has_it

evaluations = typer.Typer(
    help="Measures what was learned on data that it did not see.", no_args_is_help=True
)


@evaluations.callback()
def _evaluations() -> None:
    """Keeps `recommend` a sub-command while it is the only one."""


@evaluations.command()
def recommend(
    from_: Annotated[
        Path,
        typer.Option("--from", help="transaction_data, baskets as JSON (tafeng), or any table."),
    ],
    data: Annotated[
        Literal["household", "tafeng"] | None,
        typer.Option(help="Dated or ordered baskets of the published protocols."),
    ] = None,
    user: Annotated[str | None, typer.Option(help="Column of the user, in a table.")] = None,
    item: Annotated[str | None, typer.Option(help="Column of the item.")] = None,
    basket: Annotated[str | None, typer.Option(help="Column of the basket or order.")] = None,
    time: Annotated[str | None, typer.Option(help="Column of the time, or the day.")] = None,
    to: Annotated[
        Path, typer.Option(help="Folder of the page, its plots and each customer's results.")
    ] = Path("recommend-evaluation"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Choose hyperparameters on few customers.")
    ] = False,
) -> None:
    """Measures recommendations and baselines on each customer's last basket."""
    from orchestration.learn.recommend.evaluate import FULL, QUICK
    from orchestration.learn.recommend.evaluate import evaluate as measure
    from orchestration.learn.recommend.protocols import read_dated, read_ordered, read_own
    from orchestration.learn.recommend.report import write_report

    if not from_.is_file():
        raise typer.BadParameter(f"{from_} is not a file")
    with output.step("read") as step:
        if user or item or basket or time:
            if data or not user or not item or not (basket or time):
                raise typer.BadParameter(
                    "a table takes --user, --item and --basket or --time, without --data"
                )
            protocol = "own"
            histories = read_own(from_, user=user, item=item, basket=basket, time=time)
        else:
            protocol = data or "household"
            histories = (read_dated if protocol == "household" else read_ordered)(from_)
        step.result = f"{histories.baskets.customers:,} customers"
    with output.step("evaluate") as step:
        found = measure(protocol, histories, QUICK if quick else FULL, step.share)
        with as_the_user_has_it():
            page = write_report(found, to)
        step.result = f"written to {page}"
    columns = ["method", "recall@10", "ndcg@10", "repeat recall", "new recall"]
    rows = [
        [
            row.method,
            *(f"{one.mean:.4f} ({one.low:.4f}-{one.high:.4f})" for one in (row.recall, row.ndcg)),
            f"{row.repeat_recall:.4f}",
            f"{row.new_recall:.4f}",
        ]
        for row in found.rows
    ]
    output.print_rows(columns, rows, "table")
