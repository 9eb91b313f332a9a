"""The formats that a list comes in, and which of them a request prefers."""

from enum import Enum
from functools import lru_cache

from starlette.types import Scope


class Format(Enum):
    """A page as JSON, or a whole list as CSV or as one JSON document a line."""

    JSON = "application/json"
    CSV = "text/csv"
    NDJSON = "application/x-ndjson"


MEDIA_TYPES = {one.value: one for one in Format} | {"application/ndjson": Format.NDJSON}


def format_of(scope: Scope) -> Format:
    """What a request prefers; JSON where it names none of the formats."""
    for name, value in scope["headers"]:
        if name == b"accept":
            return _preferred(value)
    return Format.JSON


@lru_cache(maxsize=256)
def _preferred(accept: bytes) -> Format:
    found, best = Format.JSON, 0.0
    for item in accept.decode("latin-1").lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        named = MEDIA_TYPES.get(name)
        # Of equal ones, the first counts; what takes anything takes JSON.
        if (weight := _weight(parameters)) > best and (named or name in {"*/*", "application/*"}):
            found, best = named or Format.JSON, weight
    return found


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return min(float(parameter.removeprefix("q=")), 1.0)
            except ValueError:
                return 0.0
    return 1.0
