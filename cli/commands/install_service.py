"""`pollux install-service`: units by which systemd starts Pollux with the machine.

Belongs here: what depends on the machine and the installation. Does not belong here: the units
themselves (`deploy/systemd`).
"""

import os
import pwd
import sys
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from cli import output
from pollux.runtime.errors import PolluxError
from pollux.runtime.postgres import MAX_SOCKET_DIR_LENGTH
from pollux.runtime.privacy import as_the_user_has_it
from pollux.runtime.settings import PROJECT_DIR, Settings

UNITS = PROJECT_DIR / "deploy" / "systemd"
# What a shell or systemd reads as something else, in the folders that stand in units.
UNSAFE = set(" %\\'\"")


class InstallServiceError(PolluxError):
    """Units cannot be written for this installation."""


def install_service(
    to: Annotated[Path, typer.Option(metavar="DIR", help="Folder of units.")] = Path(
        "/etc/systemd/system"
    ),
    backups: Annotated[Path, typer.Option(metavar="DIR", help="Folder of nightly backups.")] = Path(
        "/var/backups/pollux"
    ),
) -> None:
    """Writes units for systemd: everything starts with the machine, as the data folder's owner."""
    if sys.platform != "linux":
        raise InstallServiceError("Only Linux has systemd: elsewhere, start pollux up yourself.")
    settings = Settings()
    user = _owner(settings.data_dir)
    values = _values(settings, user.pw_name, backups.absolute())
    # Whoever looks after the machine may read what it starts.
    with as_the_user_has_it():
        templates = [path for path in UNITS.rglob("*") if path.is_file()]
        written = [_write(template, to, values) for template in templates]
        backups.mkdir(parents=True, exist_ok=True)
    os.chown(backups, user.pw_uid, user.pw_gid)
    backups.chmod(0o700)
    output.result_console.print(
        f"{sum(written)} units in {to}; Pollux will run as {user.pw_name}. Now start it, for good:"
        "\n  systemctl daemon-reload\n  systemctl enable --now pollux.target",
        soft_wrap=True,
    )


def _owner(data_dir: Path) -> pwd.struct_passwd:
    """The user whom the data folder belongs to, and so the one who may run what uses it."""
    if not data_dir.is_dir():
        raise InstallServiceError(
            f"There is no data folder {data_dir}. Make it as the user whom Pollux is to run as, or "
            "name yours in POLLUX_DATA_DIR."
        )
    owner = pwd.getpwuid(data_dir.stat().st_uid)
    if owner.pw_uid == 0:
        raise InstallServiceError(
            f"{data_dir} belongs to root, as whom no service should run: give it, with all it "
            f"holds, to another user (chown -R USER {data_dir})."
        )
    return owner


def _values(settings: Settings, user: str, backups: Path) -> dict[str, str]:
    """What the templates leave open."""
    # Elsewhere the embedded PostgreSQL would be in a folder that units close.
    postgres = settings.data_dir / "postgres"
    if len(str(postgres / "socket").encode()) > MAX_SOCKET_DIR_LENGTH:
        raise InstallServiceError(f"The path {settings.data_dir} is too long for a unit's socket.")
    folders = (PROJECT_DIR, settings.data_dir, backups)
    for folder in folders:
        if refused := sorted(UNSAFE & set(str(folder))):
            raise InstallServiceError(
                f"{folder} contains {' '.join(map(repr, refused))}, which units cannot name."
            )
    return {
        "user": user,
        "pollux": str(Path(sys.executable).with_name("pollux")),
        "data_dir": str(settings.data_dir),
        "postmaster": str(postgres / "cluster" / "postmaster.pid"),
        "backups": str(backups),
    }


def _write(template: Path, to: Path, values: dict[str, str]) -> bool:
    """Writes a unit, or what several have in common; returns whether it is one."""
    target = to / template.relative_to(UNITS)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(Template(template.read_text()).substitute(values))
    return template.parent == UNITS
