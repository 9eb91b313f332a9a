"""Compressed answers: zstd, Brotli or gzip, whichever of them the client takes first."""

from starlette.types import ASGIApp, Receive, Scope, Send
from starlette_compress import CompressMiddleware, add_compress_type

from services.common.formats import Format

# What fits into one packet arrives no sooner for being smaller.
MINIMUM_BYTES = 1_400


class Compress:
    """Middleware that compresses answers, but not small ones, nor Parquet, which is already.

    A request that takes no compressed answer passes it by, and costs nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        for one in Format:
            add_compress_type(one.value)
        self.compressing = CompressMiddleware(app, minimum_size=MINIMUM_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] == "http" and _takes_compressed(scope):
            await self.compressing(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _takes_compressed(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"accept-encoding":
            return bool(value != b"identity")
    return False
