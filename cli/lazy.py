"""Sub-commands that are imported when they run, so that `pollux --help` and `status` are quick.

Belongs here: importing a sub-command, and its help without importing it. Does not belong here:
which there are (`cli.app`).
"""

import ast
from collections import UserDict
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group


def lazy_group(places: Mapping[str, str]) -> type[TyperGroup]:
    """A group of commands by name; a place is `module:name` of a function or a `typer.Typer`."""

    class LazyGroup(TyperGroup):
        def __init__(self, **attributes: Any) -> None:  # noqa: ANN401
            super().__init__(**attributes)
            self.commands = _Commands(places)

        def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
            """Lists the commands, none of which is imported."""
            commands = self.commands
            self.commands = {
                name: TyperCommand(name, help=help_of(place)) for name, place in places.items()
            }
            super().format_commands(ctx, formatter)
            self.commands = commands

    return LazyGroup


class _Commands(UserDict[str, Any]):
    def __getitem__(self, name: str) -> Any:  # noqa: ANN401
        module, _, variable = self.data[name].partition(":")
        found = getattr(import_module(module), variable)
        home = typer.Typer(rich_markup_mode=None)
        if isinstance(found, typer.Typer):
            home.add_typer(found, name=name)
        else:
            home.command(name)(found)
        return get_group(home).commands[name]


def help_of(place: str) -> str:
    """The docstring of a function, or the `help` of a `typer.Typer`."""
    module, _, variable = place.partition(":")
    for statement in _parse(module).body:
        match statement:
            case ast.FunctionDef(name=name) if name == variable:
                return ast.get_docstring(statement) or ""
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(keywords=keywords)) if (
                name == variable
            ):
                return next(str(ast.literal_eval(k.value)) for k in keywords if k.arg == "help")
    raise LookupError(place)


@cache
def _parse(module: str) -> ast.Module:
    spec = find_spec(module)
    assert spec is not None  # noqa: S101
    assert spec.origin is not None  # noqa: S101
    return ast.parse(Path(spec.origin).read_bytes())
