"""systemd's units as `pollux install-service` writes them."""

import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.commands.install_service import InstallServiceError, install_service

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(
    ANALYZE is None, reason="needs systemd-analyze (Debian: systemd)"
)
# Of 100; systemd's own words for up to 20 are that a service is well protected ("OK").
MOST_EXPOSED = 20


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that does not belong to root."""
    folder = tmp_path / "data"
    folder.mkdir()
    give_away(folder)
    monkeypatch.setenv("POLLUX_DATA_DIR", str(folder))
    return folder


def give_away(folder: Path) -> None:
    if os.geteuid() == 0:
        os.chown(folder, pwd.getpwnam("daemon").pw_uid, -1)


@pytest.fixture
def units(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The folder of the units."""
    install_service(to=tmp_path / "units", backups=tmp_path / "backups")
    assert "systemctl enable --now pollux.target" in capsys.readouterr().out
    return tmp_path / "units"


def analyze(units: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ANALYZE), *arguments],
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{units}:", "SYSTEMD_COLORS": "0"},
        capture_output=True,
        text=True,
        check=False,
    )


@needs_systemd
def test_systemd_takes_the_units(units: Path) -> None:
    names = sorted(path.name for path in units.glob("pollux*.*") if path.is_file())
    assert "pollux.target" in names
    done = analyze(units, "verify", "--man=no", *(str(units / name) for name in names))
    about_ours = [line for line in (done.stdout + done.stderr).splitlines() if "pollux" in line]
    assert (done.returncode, about_ours) == (0, [])


@needs_systemd
def test_every_service_is_well_protected(units: Path) -> None:
    services = sorted(path.name for path in units.glob("pollux-*.service"))
    assert len(services) > 5
    done = analyze(
        units, "security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}", *services
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_units_name_this_installation(units: Path, data_dir: Path) -> None:
    texts = {path: path.read_text() for path in units.rglob("*") if path.is_file()}
    assert [path for path, text in texts.items() if "$pollux" in text or "$data" in text] == []
    started = {
        text
        for path in texts
        for text in re.findall(r"^ExecStart=(/\S+) (.+)$", texts[path], re.MULTILINE)
    }
    assert all(Path(program).is_file() or program == "/bin/sh" for program, _ in started)
    assert {f"serve {name}" for name in ("api", "scoring", "events", "dashboard")} | {
        "dagster",
        "db start",
    } <= {words for _, words in started}
    common = (units / "pollux-.service.d" / "pollux.conf").read_text()
    assert f"User={pwd.getpwuid(data_dir.stat().st_uid).pw_name}\n" in common
    assert f"ReadWritePaths={data_dir}\n" in common


def test_the_target_starts_every_unit(units: Path) -> None:
    target = (units / "pollux.target").read_text()
    wanted = {
        name for line in re.findall(r"^Wants=(.*)$", target, re.MULTILINE) for name in line.split()
    }
    written = {path.name for path in units.iterdir() if path.is_file()}
    # The timer starts it.
    assert wanted == written - {"pollux.target", "pollux-backup.service"}


def test_old_backups_go(units: Path, tmp_path: Path) -> None:
    """The line that is run after a backup, by the shell that runs it."""
    unit = (units / "pollux-backup.service").read_text()
    (line,) = re.findall(r"^ExecStartPost=/bin/sh -c '(.*)'$", unit, re.MULTILINE)
    backups = tmp_path / "backups"
    made = [f"2026-11-{day:02}T0330{day:02}Z" for day in range(1, 21)]
    for name in (*made, "mine"):
        (backups / name).mkdir()
        (backups / name / "backup.json").touch()
    subprocess.run(["/bin/sh", "-c", line], check=True)
    assert sorted(path.name for path in backups.iterdir()) == [*made[-14:], "mine"]
    subprocess.run(["/bin/sh", "-c", line], check=True)
    assert len(list(backups.iterdir())) == 15


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing", "There is no data folder .*/missing. Make it as the user"),
        ("a b", "contains ' ', which units cannot name"),
        ("d" * 100, "is too long"),
    ],
)
def test_refusals_say_what_is_wrong(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    if name != "missing":
        folder.mkdir()
        give_away(folder)
    monkeypatch.setenv("POLLUX_DATA_DIR", str(folder))
    with pytest.raises(InstallServiceError, match=said):
        install_service(to=tmp_path / "units", backups=tmp_path / "backups")
    assert not (tmp_path / "units").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_nothing_runs_as_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLLUX_DATA_DIR", str(tmp_path))
    with pytest.raises(InstallServiceError, match=rf"belongs to root.*chown -R USER {tmp_path}"):
        install_service(to=tmp_path / "units", backups=tmp_path / "backups")


def test_only_linux_has_systemd(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(InstallServiceError, match="Only Linux has systemd"):
        install_service()
