"""What is asked of a service that is being killed."""

import socket
from threading import Thread

from cli.processes import ask


def test_answer_that_ends_in_the_middle_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for head in (b"HTTP/1.1 200 OK", b"HTTP/1.1 503 Unavailable", b"HTTP"):
                connection, _ = server.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(head + b"\r\nContent-Length: 100\r\n\r\nhalf")

        thread = Thread(target=answer, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/readyz"
        assert [ask(url) for _ in range(3)] == [(0, b"")] * 3
        thread.join()
