"""Parameters that a route does not take, or not as often as they are given: refused.

A misspelt filter must not return the whole list, nor a repeated one lose its first value.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, get_args, get_origin
from urllib.parse import parse_qsl

from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from starlette.types import ASGIApp, Receive, Scope, Send

from services.common.problems import invalid_parts

MAX_NAME_LENGTH = 100


def refuse_other_parameters(route: APIRoute) -> None:
    """Lets a route refuse what its description does not name.

    A route that describes filters of any name looks at its query itself.
    """
    if isinstance(route.app, _Refusing):
        return
    known: dict[str, bool] = {}
    for parameter in route.dependant.query_params:
        known |= _parameters(parameter.alias, parameter.field_info)
    for described in (route.openapi_extra or {}).get("parameters", ()):
        if described.get("schema", {}).get("type") == "object":
            return
        known[described["name"]] = described.get("schema", {}).get("type") == "array"
    route.app = _Refusing(route.app, known)


def parameter_errors(
    asked: Iterable[str], known: Collection[str], repeatable: Collection[str] = ()
) -> list[dict[str, Any]]:
    """What is wrong with the names of a query's parameters, as `invalid_parts` takes it."""
    return [
        {"loc": ("query", name[:MAX_NAME_LENGTH]), "msg": _unknown(known)}
        if name not in known
        else {"loc": ("query", name), "msg": f"Given {times} times; it takes one value"}
        for name, times in Counter(asked).items()
        if name not in known or (times > 1 and name not in repeatable)
    ]


class _Refusing:
    def __init__(self, app: ASGIApp, known: dict[str, bool]) -> None:
        self._app = app
        self._known = known
        self._repeatable = {name for name, is_list in known.items() if is_list}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if query := scope["query_string"]:
            asked = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
            names = [name for name, _ in asked]
            once = set(names)
            # Counting them costs more than this.
            is_fit = len(once) == len(names) and once <= self._known.keys()
            if not is_fit and (errors := parameter_errors(names, self._known, self._repeatable)):
                raise invalid_parts(errors)
        await self._app(scope, receive, send)


def _parameters(alias: str, field: FieldInfo) -> dict[str, bool]:
    """Names of parameters, and whether each takes several values."""
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = kind.model_fields.items()
        return {one.alias or name: _is_list(one.annotation) for name, one in fields}
    return {alias: _is_list(kind)}


def _is_list(annotation: object) -> bool:
    kinds = [annotation, *get_args(annotation)]
    return any(kind is list or get_origin(kind) is list for kind in kinds)


def _unknown(known: Collection[str]) -> str:
    *others, last = known or ("none",)
    takes = f"{', '.join(others)} and {last}" if others else last
    return f"Not a parameter of this path, which takes {takes}"
