"""A PostgreSQL server that is lost while somebody talks to it: a proxy that ends connections."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class LostServer:
    """Passes on what clients send, `sends` times, and then ends each connection at once."""

    def __init__(self, url: str) -> None:
        parameters = conninfo_to_dict(url)
        host, port = str(parameters["host"]), parameters.get("port") or 5432
        self.address = f"{host}/.s.PGSQL.{port}"
        self.sends = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = make_conninfo(
            url,
            host="127.0.0.1",
            port=str(self.listener.getsockname()[1]),
            gssencmode="disable",
            sslmode="disable",
        )
        self.lock = threading.Lock()

    def accept(self) -> None:
        """Serves clients until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.address)
                for one, other in ((client, server), (server, client)):
                    threading.Thread(
                        target=self._pass_on, args=(one, other, one is client), daemon=True
                    ).start()

    def _pass_on(self, one: socket.socket, other: socket.socket, is_client: bool) -> None:
        with suppress(OSError):
            while chunk := one.recv(2**20):
                if is_client:
                    with self.lock:
                        self.sends -= 1
                    if self.sends < 0:
                        break
                other.sendall(chunk)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def lost_server(url: str) -> Iterator[LostServer]:
    """A proxy of the server behind the unix socket of `url`."""
    server = LostServer(url)
    threading.Thread(target=server.accept, daemon=True).start()
    with server.listener:
        yield server
