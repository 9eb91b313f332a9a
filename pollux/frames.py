"""Arrow tables as frames of pandas or polars, where the user has them installed."""

from importlib import import_module
from typing import Any, Literal

import pyarrow as pa

from pollux.errors import GatewayError

FrameKind = Literal["arrow", "pandas", "polars"]


def to_frame(table: pa.Table, kind: FrameKind) -> Any:
    """The table as a frame; raises `GatewayError` where the package is not installed."""
    if kind == "arrow":
        return table
    try:
        package = import_module(kind)
    except ImportError:
        raise GatewayError(
            f"This needs {kind}, which is not installed: pip install {kind}"
        ) from None
    return package.from_arrow(table) if kind == "polars" else table.to_pandas()
