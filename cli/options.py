"""Options that several commands have."""

from typing import Annotated

import typer

DOMAINS = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="Only this domain; may be given several times. Default: all loaded."
    ),
]
ACCEPT_SHRINKING = Annotated[
    bool,
    typer.Option(
        "--accept-shrinking",
        help="Release even where a mart would be emptied or lose more than half of its rows.",
    ),
]
JSON = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
