"""Sends focus events on a fixed schedule and measures the time to their answers.

Runs in a process of its own, on one thread: two clients, one that sends (MQTT 5, with an event-id)
and one that listens (MQTT 3.1.1), both QoS 1.
Latency counts from the scheduled time, so a stalled service does not hide waiting events.
"""

import argparse
import gc
import json
import random
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

HOST = "127.0.0.1"
# One day at the shop, 2024-05-14; an event's second identifies it until the round is over.
FIRST_SECOND = 1_715_652_000
ROUND = 43_200
TS = slice(-11, -1)
DRAIN_SECONDS = 5.0
# Above a thousand events a second it looks for answers this often, lest it take a core itself.
LOOK_SECONDS = 0.001
V311, V5 = 4, 5
# MQTT packets with the flags used here: QoS 1.
CONNECT, CONNACK, PUBLISH, SUBSCRIBE = 0x10, 0x20, 0x32, 0x82
CHUNK = 2**20
# Mosquitto disconnects a client that sends more than its max_inflight_messages.
MAX_UNACKNOWLEDGED = 900


class Measured(NamedTuple):
    """What was sent and answered, in all and at marks; latencies in milliseconds.

    `marks` has sent and answered for each of the seconds asked for, and last for the end of
    sending. An event that was never answered counts as ten seconds.
    """

    sent: int
    answered: int
    marks: list[tuple[int, int]]
    latencies_ms: list[float]
    bytes_per_answer: float
    cpu_seconds: float
    seconds: float

    def percentile_ms(self, percent: float) -> float:
        """The latency that `percent` of the answers do not exceed."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


class Generator:
    """A running generator; `measured` waits for it."""

    def __init__(
        self,
        *,
        port: int,
        topic: str,
        answers: str,
        rate: float,
        seconds: float,
        customers: int,
        departments: Sequence[str],
        name: str,
        marks: Sequence[float] = (),
    ) -> None:
        self._seconds = seconds
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        task = {
            "port": port,
            "topic": topic,
            "answers": answers,
            "rate": rate,
            "seconds": seconds,
            "customers": customers,
            "departments": list(departments),
            "name": name,
            "marks": list(marks),
        }
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        # The generator says when it begins.
        self._process.stdout.readline()

    def measured(self) -> Measured:
        """Raises `RuntimeError` when it fails."""
        output, _ = self._process.communicate(timeout=self._seconds + 60)
        if self._process.returncode != 0:
            raise RuntimeError("the load generator failed")
        return Measured(**json.loads(output))


class Client:
    """The part of MQTT that a load needs, at a tenth of the cost of a library."""

    def __init__(self, port: int, level: int) -> None:
        self._socket = socket.create_connection((HOST, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._level = level
        # A clean start; no properties, no keep-alive; the broker assigns the client id.
        properties = b"\0" if level == V5 else b""
        name = text_field(f"load-{level}-{time.time_ns()}")
        body = text_field("MQTT") + bytes([level, 2, 0, 0]) + properties + name
        self.write(packet(CONNECT, body))
        if [kind for kind, _ in self._wait()] != [CONNACK]:
            sys.exit("the broker does not take the load generator")

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def subscribe(self, topic: str) -> None:
        """Subscribes with QoS 1 (in MQTT 3.1.1)."""
        self.write(packet(SUBSCRIBE, b"\0\1" + text_field(topic) + b"\1"))
        if [body[-1] for _, body in self._wait()] != [1]:
            sys.exit("the broker refuses the subscription")

    def write(self, data: bytes) -> None:
        """Sends, waiting for room."""
        self._socket.sendall(data)

    def read(self) -> list[tuple[int, bytes]]:
        """First byte and body of each packet that is there."""
        data = self._socket.recv(CHUNK)
        if not data:
            sys.exit("the broker closed a connection")
        buffer = self._buffer + data if self._buffer else data
        found = []
        place, end = 0, len(buffer)
        while place + 1 < end:
            length = shift = 0
            start = place + 1
            while start < end:
                byte = buffer[start]
                length |= (byte & 127) << shift
                shift += 7
                start += 1
                if byte < 128:
                    break
            else:
                break
            if start + length > end:
                break
            found.append((buffer[place], buffer[start : start + length]))
            place = start + length
        self._buffer = buffer[place:]
        return found

    def _wait(self) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        while not found:
            found = self.read()
        return found


class _Load:
    def __init__(self, task: dict[str, Any]) -> None:
        self.task = task
        self.due = [0.0] * ROUND
        self.latencies: list[float] = []
        self.size = 0
        self.sent = 0
        self.answered = 0
        self.unacknowledged = 0
        self.sender = Client(task["port"], V5)
        self.listener = Client(task["port"], V311)
        self.listener.subscribe(task["answers"])
        self.topic = text_field(task["topic"])
        self.leaving = b""

    def _flush(self) -> None:
        if self.leaving:
            self.sender.write(self.leaving)
            self.leaving = b""

    def _turn(self, seconds: float) -> None:
        for client in select.select([self.sender, self.listener], [], [], seconds)[0]:
            if client is self.sender:
                self.unacknowledged -= len(client.read())
            else:
                self._hear(client.read())

    def _hear(self, packets: list[tuple[int, bytes]]) -> None:
        now = time.perf_counter()
        acknowledgements = b""
        for _, body in packets:
            start = 2 + int.from_bytes(body[:2], "big")
            acknowledgements += b"\x40\2" + body[start : start + 2]
            self.latencies.append(now - self.due[int(body[TS]) - FIRST_SECOND])
            self.size += len(body) - start - 2
        self.answered += len(packets)
        self.listener.write(acknowledgements)

    def _send(self, number: int, due: float, rng: random.Random) -> None:
        task = self.task
        second = number % ROUND
        self.due[second] = due
        payload = (
            f'{{"id":"{rng.randrange(task["customers"]) + 1}","ts":{FIRST_SECOND + second},'
            f'"dep":"{rng.choice(task["departments"])}"}}'
        )
        pair = b"\x26" + text_field("event-id") + text_field(f"{task['name']}-{number}")
        place = (number % 65535 + 1).to_bytes(2, "big")
        head = self.topic + place + bytes([len(pair)]) + pair
        self.leaving += packet(PUBLISH, head + payload.encode())
        self.sent += 1
        self.unacknowledged += 1

    def run(self) -> Measured:
        rng = random.Random(1)
        interval = 1 / self.task["rate"]
        looked = 0.0
        total = int(self.task["rate"] * self.task["seconds"])
        marks = {int(self.task["rate"] * second) for second in self.task["marks"]}
        seen: list[tuple[int, int]] = []
        print("begins", flush=True)
        cpu = time.process_time()
        start = time.perf_counter() + 0.1
        for number in range(total):
            due = start + number * interval
            while (ahead := due - (now := time.perf_counter())) > 0:
                self._flush()
                if interval >= LOOK_SECONDS:
                    self._turn(ahead)
                elif now - looked >= LOOK_SECONDS:
                    self._turn(0)
                    looked = now
                else:
                    time.sleep(ahead)
            # Even behind schedule, read answers, and send no more than the broker takes.
            while number % 16 == 0 or self.unacknowledged >= MAX_UNACKNOWLEDGED:
                self._flush()
                self._turn(0)
                if self.unacknowledged < MAX_UNACKNOWLEDGED:
                    break
            if number in marks:
                seen.append((self.sent, self.answered))
            self._send(number, due, rng)
        self._flush()
        seconds = time.perf_counter() - start
        seen.append((self.sent, self.answered))
        deadline = time.perf_counter() + DRAIN_SECONDS
        while self.answered < total and time.perf_counter() < deadline:
            self._turn(0.05)
        cpu = time.process_time() - cpu
        latencies = [round(1000 * one, 3) for one in self.latencies]
        latencies += [10_000.0] * (total - len(latencies))
        size = self.size / max(1, self.answered)
        return Measured(self.sent, self.answered, seen, latencies, size, cpu, seconds)


def packet(kind: int, body: bytes) -> bytes:
    """A packet of MQTT."""
    length = len(body)
    head = bytearray([kind])
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    head.append(length)
    return bytes(head) + body


def text_field(text: str) -> bytes:
    """A text with its length before it."""
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _main() -> None:
    argparse.ArgumentParser(description="Reads a task as JSON from standard input.").parse_args()
    task = json.loads(sys.stdin.readline())
    # Its own pauses must not count as the service's.
    gc.disable()
    json.dump(_Load(task).run()._asdict(), sys.stdout)


if __name__ == "__main__":
    _main()
