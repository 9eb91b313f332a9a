"""What the command says when nothing is there yet, something is missing, or a limit is reached."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from cli.explain import GROUPS, explain
from tests.conftest import PROJECT_DIR

# Blocks modules as if they were not installed.
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({modules!r}))
sys.argv = ["pollux", *{arguments!r}]
from cli.main import main
main()
"""


def run(
    data_dir: Path | str, *arguments: str, limit: str = "", code: str | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli.main", *arguments]
    if code is not None:
        command = [sys.executable, "-c", code]
    if limit:
        command = ["/bin/sh", "-c", f'ulimit {limit} && exec "$@"', "sh", *command]
    return subprocess.run(
        command,
        env=os.environ | {"POLLUX_DATA_DIR": str(data_dir), "POLLUX_LOCK_TIMEOUT_SECONDS": "1"},
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()


def test_version_is_said(tmp_path: Path) -> None:
    done = run(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"pollux {version('pollux')}\n")


def test_what_psycopg_logs_of_a_lost_connection_is_not_shown(tmp_path: Path) -> None:
    code = """
import logging
from cli import app
app.app = lambda: logging.getLogger("psycopg").warning("error ignored in rollback")
app.run()
"""
    assert lines(run(tmp_path, code=code)) == []


def test_help_speaks_no_python(tmp_path: Path) -> None:
    code = """
from typer.main import get_command
from cli.app import app

def show(command):
    print(command.get_help(command.make_context("pollux", [], resilient_parsing=True)))
    for below in getattr(command, "commands", {}).values():
        show(below)

show(get_command(app))
"""
    done = run(tmp_path, code=code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("--help") > 25
    assert re.findall(r"<?(?:list|tuple|dict)\[.*", done.stdout) == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["status"], 0, "pollux up makes sample data and serves it, pollux load takes your files"),
        (["query", "select 1"], 1, "Nothing has been released yet: pollux up makes sample data"),
        (["build"], 4, "Nothing has been loaded: run pollux load, or pollux up"),
        (["release"], 5, "run pollux load and pollux build, or pollux up"),
        (["events", "dead-letters"], 0, "No dead letters."),
        (["down"], 0, "nothing was running"),
    ],
)
def test_an_empty_installation_says_what_to_do(
    tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    done = run(tmp_path / "new", *arguments)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert len((done.stdout + done.stderr).splitlines()) == 1
    # Nothing is made only to find it empty.
    assert not (tmp_path / "new" / "postgres").exists()


@pytest.mark.parametrize(
    ("group", "arguments", "module"),
    [
        ("pipeline", ["build"], "yaml"),
        ("pipeline", ["sample", "--to", "files"], "numpy"),
        ("pipeline", ["learn", "propensity"], "numpy"),
        ("pipeline", ["up", "--once"], "yaml"),
        ("pipeline", ["env"], "yaml"),
        ("services", ["serve", "api"], "fastapi"),
        ("services", ["serve", "scoring"], "fastapi"),
        ("services", ["serve", "events"], "asyncpg"),
        ("services", ["demo-store"], "paho"),
    ],
)
def test_a_base_installation_names_the_group(
    tmp_path: Path, group: str, arguments: list[str], module: str
) -> None:
    modules = sorted({name for names in GROUPS.values() for name in names.split()})
    code = WITHOUT.format(modules=modules, arguments=arguments)
    done = run(tmp_path / "new", code=code)
    assert done.returncode == 1, done.stderr
    said = lines(done)[-1]
    assert re.fullmatch(
        r"✗ This command needs \w+, which is not installed: make setup installs it "
        rf"\(dependency group {group}\)\.",
        said,
    ), said


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["down"]])
def test_what_needs_no_group_works_without(tmp_path: Path, arguments: list[str]) -> None:
    modules = sorted({name for names in GROUPS.values() for name in names.split()})
    done = run(tmp_path / "new", code=WITHOUT.format(modules=modules, arguments=arguments))
    assert done.returncode == 0, done.stderr


def test_every_module_of_a_group_is_installed_here() -> None:
    for modules in GROUPS.values():
        for module in modules.split():
            assert find_spec(module) is not None, module


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("-v 400000", "Only 390 MiB of memory may be used (ulimit -v); Pollux needs 1,536 MiB"),
        ("-n 40", "Only 40 files may be open at once (ulimit -n); Pollux needs 256."),
    ],
)
@pytest.mark.parametrize("command", ["status", "up"])
def test_limits_of_the_shell_are_named(tmp_path: Path, limit: str, said: str, command: str) -> None:
    done = run(tmp_path, command, limit=limit)
    assert done.returncode == 1
    assert len(lines(done)) == 1
    assert said in done.stderr


def test_a_low_limit_that_may_be_raised_is_raised(tmp_path: Path) -> None:
    done = run(tmp_path / "new", "status", limit="-S -n 40")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["up", "dagster"])
def test_a_folder_that_cannot_be_written_is_one_line(command: str) -> None:
    # There not even root makes a folder.
    done = run("/sys/pollux", command)
    assert done.returncode == 1
    (said,) = lines(done)
    assert said.startswith("✗ /sys/pollux cannot be opened or written: Operation not permitted.")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.EROFS, os.strerror(errno.EROFS), "/data/warehouse.lock"),
            "/data/warehouse.lock cannot be opened or written: Read-only file system. Is it yours",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"),
         "/data/x: No space left on device."),
        (OSError(errno.EMFILE, "Too many open files", "x"), "Too many open files: "),
        (MemoryError(), "There is not enough memory."),
        (RuntimeError("can't start new thread"), "There is not enough memory."),
        (ImportError("x.so: failed to map segment from shared object"), "There is not enough"),
        (psycopg.OperationalError("gone\n"), "OperationalError: gone"),
        (ModuleNotFoundError("No module named 'nobody'", name="nobody"), None),
        (RuntimeError("a mistake of ours"), None),
    ],
)  # fmt: skip
def test_errors_of_the_machine_are_explained(error: Exception, said: str | None) -> None:
    found = explain(error)
    if said is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith(said)
        assert "\n" not in found


def test_an_interruption_is_one_line_whenever_it_comes(tmp_path: Path) -> None:
    """At moments spread over the start: once the interpreter runs, until the command works."""
    for moment in (0.08, 0.15, 0.3, 0.6, 1.0):
        process = subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "cli.main", "up", "--once"],
            env=os.environ | {"POLLUX_DATA_DIR": str(tmp_path / "new")},
            cwd=PROJECT_DIR,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        # Its first own import: from here on it is the command that is interrupted.
        seen = next(
            line for line in process.stderr if line.rstrip().endswith("pollux.runtime.privacy")
        )
        time.sleep(moment)
        process.send_signal(signal.SIGINT)
        rest = [line for line in process.stderr if not line.startswith("import time:")]
        assert process.wait(timeout=60) == 130, (seen, rest)
        assert rest[-1] == "✗ Interrupted.\n"
        assert "Traceback" not in "".join(rest)


MISTAKE = """
import logging, sys
from cli import app
def fail(*_):
    try:
        int("aine.canary@example.org")
    except ValueError:
        logging.getLogger("a library").exception("It goes on.")
    raise KeyError("aine.canary@example.org")
app.close_folder = fail
sys.argv = ["pollux", "status"]
from cli.main import main
main()
"""


def test_a_mistake_of_the_program_tells_where_and_no_value(tmp_path: Path) -> None:
    """The log of a service keeps what it says."""
    done = run(tmp_path, code=MISTAKE)
    assert done.returncode == 1
    assert "canary" not in done.stdout + done.stderr
    logged, failed = done.stderr.split("✗ Pollux failed")
    assert "It goes on." in logged
    assert "ValueError" in logged
    assert ", in fail\n" in failed
    assert failed.endswith("KeyError\n")
