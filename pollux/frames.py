"""Arrow tables as frames of the packages that a user may or may not have.

Belongs here: what depends on pandas or polars. Does not belong here: work on Arrow itself
(`pollux.arrow`).
"""

from importlib import import_module
from typing import Any, Literal

import pyarrow as pa

from pollux.errors import GatewayError

FrameKind = Literal["arrow", "pandas", "polars"]


def to_frame(table: pa.Table, kind: FrameKind) -> Any:
    """The table as a frame; raises `GatewayError` naming the package where it is missing."""
    if kind == "arrow":
        return table
    try:
        package = import_module(kind)
    except ImportError:
        raise GatewayError(
            f"This needs {kind}, which is not installed: pip install {kind}"
        ) from None
    return package.from_arrow(table) if kind == "polars" else table.to_pandas()
