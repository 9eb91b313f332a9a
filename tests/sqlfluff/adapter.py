"""Stands in for dbt's `adapter` while sqlfluff renders models: any dispatched macro is a 1."""

from collections.abc import Callable


def dispatch(_name: str) -> Callable[..., str]:
    """A macro of any engine."""
    return lambda *_arguments: "1"


def quote(name: str) -> str:
    """A name in quotes."""
    return f'"{name}"'
