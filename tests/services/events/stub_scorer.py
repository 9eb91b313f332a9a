"""A scorer whose predictions tests can work out: `python -m tests.services.events.stub_scorer`."""

import asyncio
import json
import sys
from http import HTTPStatus

MODEL = "stub-1"


def prediction(customer_id: int, coupon_id: int) -> float:
    """Between 0.0 and 0.9, by the last digit of a sum."""
    return (customer_id * 7 + coupon_id * 3) % 10 / 10


def answer(method: bytes, path: bytes, body: bytes) -> tuple[HTTPStatus, bytes]:
    if (method, path) == (b"GET", b"/model"):
        return HTTPStatus.OK, b"{}"
    if (method, path) != (b"POST", b"/score"):
        return HTTPStatus.NOT_FOUND, b"{}"
    asked = json.loads(body)
    customer = asked["customer"]["customer_id"]
    coupons = [coupon["coupon_id"] for coupon in asked["coupons"]]
    rows = [{"coupon_id": one, "prediction": prediction(customer, one)} for one in coupons]
    return HTTPStatus.OK, json.dumps(rows).encode()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            body = await reader.readexactly(int(length or 0))
            method, path, _ = head.split(b" ", 2)
            status, content = answer(method.upper(), path, body)
            writer.write(
                f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
                f"X-Pollux-Model: {MODEL}\r\nContent-Length: {len(content)}\r\n\r\n".encode()
                + content
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
