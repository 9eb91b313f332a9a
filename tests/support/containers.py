"""The containers of compose.yaml as processes of this machine: no engine is needed.

They run in namespaces of their own (`isolated`), where every port is free and names lead where
`/etc/hosts` says: each process of a service has a loopback address of its own there, so the files
of `deploy/` are used as they stand. Those of Pollux run from the checkout, or in the image.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import psycopg
import yaml

from pollux.runtime.broker import MORE_FOLDERS
from pollux.runtime.postgres import binaries_dir
from tests.conftest import PROJECT_DIR
from tests.support.brokers import write_deployed_rules
from tests.support.machines import beside, inside
from tests.support.own_postgres import started_server
from tests.support.programs import HTTP, is_open, running, wait_for

# Made as .env.example says.
KEY = "the key that may ask everything"
SECRETS = {
    "POLLUX_HOST": "localhost",
    "POSTGRES_PASSWORD": "of-the-owner",
    "POLLUX_API_KEYS": hashlib.sha256(KEY.encode()).hexdigest(),
    "POLLUX_SCORING_KEY": "of-the-scorer",
    "MQTT_PASSWORD": "of-the-service",
    "SENSORS_PASSWORD": "of-sensors",
    "READERS_PASSWORD": "of-readers",
    "DAGSTER_PASSWORD_HASH": "$2a$14$SWfdAbdRmf20t03cRqjJZe/tgnSIrqr3b463pXhKNlDHDYslD1lFO",
}
DAGSTER_LOGIN = ("admin", "of-dagster")
PROGRAMS = ("unshare", "ip", "caddy", "nginx", "mosquitto_passwd", "psql")
NGINX_URL = "http://localhost:8080"
NETWORK = "127.77"
PORTS = {
    "postgres": 5432,
    "api": 8000,
    "scorer": 8001,
    "events": 8002,
    "live": 8003,
    "dashboard": 8501,
    "dagster": 3000,
}
# Where a service says that it is up, if not at /healthz, and that it can answer.
UP = {"dashboard": "/_stcore/health", "dagster": "/server_info"}
READY_SECONDS = 120
VARIABLE = re.compile(r"\$\{(\w+)(?::[?-]([^}]*))?\}")


def isolated(module: str, *arguments: object) -> list[str]:
    """The command that runs a module alone with its network, mounts and processes."""
    namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return ["unshare", *namespaces, sys.executable, "-m", module, *map(str, arguments)]


@dataclass(frozen=True)
class Image:
    """A built image: its root, and what it says of itself."""

    root: Path
    entrypoint: Sequence[str]
    environment: Mapping[str, str]
    user: int
    folder: str

    def command(
        self, words: Sequence[str], environment: Mapping[str, str], binds: Mapping[str, Path]
    ) -> list[str]:
        """The command that runs one of the image in a container of its own."""
        return inside(
            self.root,
            [*self.entrypoint, *words],
            environment={**self.environment, **environment},
            user=f"{self.user}:{self.user}",
            folder=self.folder,
            binds=binds,
            is_read_only=True,
        )


class Container:
    """A process of a service; its address is its own."""

    def __init__(
        self,
        service: str,
        address: str,
        log: Path,
        volumes: Mapping[str, Path],
        image: Image | None = None,
    ) -> None:
        self.service, self.address = service, address
        self.url = f"http://{address}:{PORTS[service]}"
        self._log, self._image = log, image
        # All of a machine is the image's own, but not its addresses here.
        hosts = {f"POLLUX_{name}_HOST": address for name in ("API", "DASHBOARD", "DAGSTER")}
        self._environment = environment_of(service) | hosts
        self._binds = {"/etc/hosts": Path("/etc/hosts")}
        for volume in SERVICES[service]["volumes"]:
            name, _, place = volume.partition(":")
            self._binds[place] = volumes[name]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = SERVICES[self.service]["command"]
        if self._image is None:
            command = [sys.executable, "-m", "cli.main", *words]
            data_dir = {"POLLUX_DATA_DIR": str(self._binds["/data"])}
            own = self._environment | OF_CHECKOUT | data_dir
        else:
            command = self._image.command(words, self._environment, self._binds)
            own = None
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=own, cwd=PROJECT_DIR, stdout=log, stderr=log
            )

    def executing(self, *words: str) -> list[str]:
        """The command that runs another in this container, as `docker compose exec` does."""
        assert self._image is not None
        assert self.process is not None
        environment = {**self._image.environment, **self._environment}
        return beside(self.process.pid, words, environment=environment, user=self._image.user)

    def ask(self, path: str) -> httpx.Response | None:
        """The answer of this process; None if nobody listens."""
        try:
            return HTTP.get(f"{self.url}{path}", headers=AUTHORIZED)
        except httpx.TransportError:
            return None

    def wait_until_up(self) -> None:
        self._wait_for(UP.get(self.service, "/healthz"))

    def wait_until_ready(self) -> None:
        self._wait_for(UP.get(self.service, "/readyz"))

    def _wait_for(self, path: str) -> None:
        def is_ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self._log.read_text()
            answer = self.ask(path)
            return answer is not None and answer.status_code == HTTPStatus.OK

        wait_for(is_ready, READY_SECONDS, log=self._log.read_text)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)


AUTHORIZED = {"Authorization": f"Bearer {KEY}"}
# What the image gives a process besides its data folder.
OF_CHECKOUT = {"PATH": os.environ["PATH"], "HOME": "/tmp", "PYTHONUNBUFFERED": "1"}
SERVICES: dict[str, Any] = yaml.safe_load((PROJECT_DIR / "compose.yaml").read_text())["services"]


class Compose:
    """All containers: `containers["api"][0]` is the first API."""

    def __init__(
        self,
        volumes: Mapping[str, Path],
        folder: Path,
        scale: Mapping[str, int],
        image: Image | None = None,
    ) -> None:
        self.folder = folder
        self.containers: dict[str, list[Container]] = {}
        hosts = ["127.0.0.1 localhost mosquitto"]
        for place, service in enumerate(PORTS, 1):
            for number in range(1, scale.get(service, 1) + 1):
                address = f"{NETWORK}.{place}.{number}"
                hosts.append(f"{address} {service}")
                if service != "postgres":
                    log = folder / f"{service}-{number}.log"
                    one = Container(service, address, log, volumes, image)
                    self.containers.setdefault(service, []).append(one)
        self._hosts = "\n".join(hosts) + "\n"

    @contextmanager
    def network(self) -> Iterator[None]:
        """Names, PostgreSQL, broker and proxy; the rest is started by its own."""
        (self.folder / "hosts").write_text(self._hosts)
        subprocess.run(["mount", "--bind", self.folder / "hosts", "/etc/hosts"], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        with ExitStack() as running:
            running.enter_context(self._postgres())
            running.enter_context(self._broker())
            running.enter_context(self._caddy())
            running.enter_context(self._nginx())
            try:
                yield
            finally:
                for one in self.all():
                    if one.process is not None:
                        one.kill()

    def all(self) -> Sequence[Container]:
        return [one for several in self.containers.values() for one in several]

    def said(self) -> str:
        """The ends of all logs."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text()[-2000:]}" for log in logs)

    @contextmanager
    def _postgres(self) -> Iterator[None]:
        access = "host all all 127.0.0.0/8 scram-sha-256"
        with (
            started_server(binaries_dir(), listens=f"{NETWORK}.1.1", access=access) as url,
            psycopg.connect(url) as superuser,
        ):
            host = superuser.info.host
            subprocess.run(
                ["sh", PROJECT_DIR / "deploy" / "postgres" / "make-owner.sh"],
                env=os.environ | SECRETS | {"PGHOST": host},
                check=True,
            )
            yield

    @contextmanager
    def _broker(self) -> Iterator[None]:
        rules = self.folder / "mosquitto"
        rules.mkdir()
        path = os.pathsep.join([os.environ["PATH"], *MORE_FOLDERS])
        command = ["sh", write_deployed_rules(rules, "1883")]
        log = self.folder / "mosquitto.log"
        with running(command, lambda: is_open(1883), log=log, env={"PATH": path} | SECRETS):
            yield

    @contextmanager
    def _caddy(self) -> Iterator[None]:
        text = (PROJECT_DIR / "deploy" / "caddy" / "Caddyfile").read_text()
        # Debian 12 has Caddy 2.6, which knows older names.
        text = re.sub(r"\{args\[(\d)\]\}", r"{args.\1}", text).replace(
            "basic_auth {", "basicauth {"
        )
        (self.folder / "Caddyfile").write_text(text)
        environment = {"HOME": str(self.folder), "PATH": os.environ["PATH"]} | SECRETS
        command = ["caddy", "run", "--config", self.folder / "Caddyfile"]
        log = self.folder / "caddy.log"
        with running(command, lambda: is_open(443), log=log, env=environment):
            yield

    @contextmanager
    def _nginx(self) -> Iterator[None]:
        """The proxy of several machines, with the addresses that are here, and without TLS."""
        text = (PROJECT_DIR / "deploy" / "nginx" / "pollux.conf").read_text()
        text = re.sub(r" *ssl_.*\n", "", text).replace("listen 443 ssl", "listen 127.0.0.1:8080")
        text = text.replace("shop.example", "localhost")
        for service in ("api", "events"):
            (first, *others) = re.findall(rf" *server [\d.]+:{PORTS[service]} .*\n", text)
            address = re.compile(r"[\d.]+(?=:)")
            lines = [address.sub(one.address, first) for one in self.containers[service]]
            text = text.replace(first, "".join(lines))
            for other in others:
                text = text.replace(other, "")
        folder = self.folder / "nginx"
        folder.mkdir()
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
        (folder / "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; error_log {folder}/error.log; user root;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{places}{text}}}\n"
        )
        command = [str(_found("nginx")), "-c", folder / "nginx.conf"]
        with running(command, lambda: is_open(8080), log=self.folder / "nginx.log"):
            yield

    @property
    def authority(self) -> Path:
        """What signs the proxy's certificate."""
        return self.folder / ".local/share/caddy/pki/authorities/local/root.crt"


def environment_of(service: str) -> dict[str, str]:
    """What compose.yaml gives a container, with the secrets of .env."""
    return {
        name: VARIABLE.sub(lambda found: SECRETS.get(found[1], found[2] or ""), value)
        for name, value in SERVICES[service]["environment"].items()
    }


def missing() -> list[str]:
    """Programs that are not here."""
    return [program for program in PROGRAMS if _found(program) is None]


def _found(program: str) -> str | None:
    return shutil.which(program, path=os.pathsep.join([os.environ["PATH"], *MORE_FOLDERS]))
