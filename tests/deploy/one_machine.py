"""A machine on which the first commands of docs/deploy.md ran: its units start, then the rest runs.

Run by `test_one_machine` in namespaces of its own: `python -m tests.deploy.one_machine ROOT`.
Units run as systemd would run them, as far as that is what their commands notice: their user, their
environment, their folders, a root that is read-only but for them.
"""

import json
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from tests.support.examples import read_section
from tests.support.machines import PATH, inside
from tests.support.programs import is_ok, wait_for

UNITS = "etc/systemd/system"
SETTINGS = "/etc/pollux.env"
READY_SECONDS = 60
# Without a model and a shop's release two of them have nothing to answer.
HEALTH = ("8001/healthz", "8002/healthz", "8003/healthz", "8501/_stcore/health", "3000/server_info")


class Machine:
    """A root with units of systemd, and what runs of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Starts a unit; waits for it to end or to be in the background, where its type says so."""
        unit = self._read(name)
        for condition in unit["ExecCondition"]:
            if subprocess.run(self._command(unit, condition), check=False).returncode != 0:
                return
        (type_,) = unit["Type"]
        (start,) = unit["ExecStart"]
        if type_ == "exec":
            with (self.root / "run" / f"{name}.log").open("wb") as log:
                self.running[name] = subprocess.Popen(
                    self._command(unit, start), stdout=log, stderr=log
                )
            return
        for command in (start, *unit["ExecStartPost"]):
            subprocess.run(self._command(unit, command), check=True)
        for file in unit["PIDFile"]:
            assert (self.root / file.lstrip("/")).is_file(), file

    def wanted(self, target: str) -> list[str]:
        """The services that a target starts, those first that come before others."""
        names = [
            name for line in self._read(target)["Wants"] for name in line.split() if "." in name
        ]
        services = [name for name in names if name.endswith(".service")]
        return sorted(services, key=lambda name: not self._read(name)["Before"])

    def run(self, script: str) -> str:
        """What a script of the administrator prints."""
        environment = {"PATH": PATH, "HOME": "/root"}
        done = subprocess.run(
            inside(self.root, ["bash", "-ec", script], environment=environment),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{self.said()}"
        return done.stdout

    def said(self) -> str:
        """The ends of the logs of what runs."""
        logs = {name: self.root / "run" / f"{name}.log" for name in self.running}
        return "\n".join(f"--- {name}\n{log.read_text()[-3000:]}" for name, log in logs.items())

    def check(self) -> None:
        """Fails where a service has ended."""
        ended = [name for name, process in self.running.items() if process.poll() is not None]
        assert not ended, f"{ended} ended\n{self.said()}"

    def _read(self, name: str) -> defaultdict[str, list[str]]:
        folder = self.root / UNITS
        files = [folder / name]
        if name.endswith(".service"):
            files += sorted((folder / "pollux-.service.d").glob("*.conf"))
        found = defaultdict(list)
        for file in files:
            for key, value in re.findall(r"^(\w+)=(.*)$", file.read_text(), re.MULTILINE):
                found[key].append(value)
        return found

    def _command(self, unit: defaultdict[str, list[str]], text: str) -> list[str]:
        (user,), (folder,) = unit["User"], unit["WorkingDirectory"]
        environment = {"PATH": PATH, "USER": user, "LOGNAME": user, "HOME": self._home(user)}
        given = [word for line in unit["Environment"] for word in shlex.split(line)]
        settings = self.root / SETTINGS.lstrip("/")
        assert unit["EnvironmentFile"] == [f"-{SETTINGS}"]
        given += settings.read_text().split() if settings.exists() else []
        environment |= dict(word.split("=", 1) for word in given)
        words = [word.replace("$$", "$").replace("%%", "%") for word in shlex.split(text)]
        binds = {place: self.root / place.lstrip("/") for place in unit["ReadWritePaths"]}
        (umask,) = unit["UMask"]
        return inside(
            self.root,
            words,
            environment=environment,
            user=user,
            folder=folder,
            binds=binds,
            is_read_only=True,
            umask=umask,
        )

    def _home(self, user: str) -> str:
        lines = (self.root / "etc" / "passwd").read_text().splitlines()
        return next(line.split(":")[5] for line in lines if line.startswith(f"{user}:"))


def run(root: Path) -> dict[str, object]:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    machine = Machine(root)
    _, *blocks, ask = read_section("docs/deploy.md", "One machine")
    # As the page says for a machine without a broker.
    (root / SETTINGS.lstrip("/")).write_text("TESTING_NO_MQTT=true\n")
    for name in machine.wanted("pollux.target"):
        machine.start(name)
    for block in blocks:
        machine.run(block.text)
    answer = json.loads(machine.run(ask.text))
    for url in HEALTH:
        wait_for(lambda url=url: is_ok(f"http://127.0.0.1:{url}"), READY_SECONDS, log=machine.said)
    machine.start("pollux-backup.service")
    machine.check()
    return {"answer": answer, "services": sorted(machine.running)}


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]))))
