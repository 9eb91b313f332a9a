"""Binding a service's port, or saying which process has it."""

import errno
import socket
from contextlib import suppress

import psutil

from pollux.runtime.errors import PolluxError

MAX_COMMAND_LENGTH = 120


class PortError(PolluxError):
    """A service cannot listen where it should."""


def check_port_is_free(host: str, port: int, *, setting: str = "POLLUX_API_PORT") -> None:
    """Raises `PortError`, naming the process, if the port is in use."""
    bind(host, port, setting=setting).close()


def bind(host: str, port: int, *, setting: str = "POLLUX_API_PORT") -> socket.socket:
    """A listening socket; raises `PortError` with the reason and the process that has the port."""
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise PortError(f"{host} is not an address to listen on: {error.strerror}.") from None
    family, kind, protocol, _, address = found[0]
    bound = socket.socket(family, kind, protocol)
    # With this, a port is free as soon as its last server has ended.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        # Two sockets can bind to it, but only one can listen.
        bound.listen()
    except OSError as error:
        bound.close()
        if error.errno != errno.EADDRINUSE:
            reason = f"Nothing can listen on {host}, port {port}: {error.strerror}."
        else:
            reason = (
                f"Port {port} is in use by {_listener(port)}. Stop it, or choose another port "
                f"with {setting}."
            )
        raise PortError(reason) from None
    return bound


def _listener(port: int) -> str:
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            if listens and connection.pid is not None:
                process = psutil.Process(connection.pid)
                command = " ".join(process.cmdline()) or process.name()
                return f"process {connection.pid} ({command[:MAX_COMMAND_LENGTH]})"
    return "another process"
