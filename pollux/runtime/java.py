"""The Java that Spark runs on: where it is, and whether it is new enough."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from pollux.runtime.errors import PolluxError

OLDEST = 17
VERSION = re.compile(r'version "(?:1\.)?(?P<major>\d+)')
ANSWER_SECONDS = 30
GET_JAVA = (
    f"Install Java {OLDEST} or newer (Debian: apt install openjdk-17-jre-headless; macOS: brew "
    "install openjdk), or name one in JAVA_HOME."
)


class JavaError(PolluxError):
    """There is no Java, or it is too old for Spark."""

    exit_code = 4


def find_java() -> tuple[str, int]:
    """The `java` that Spark will start, of `JAVA_HOME` or else of `PATH`, and its major version.

    Raises `JavaError` saying how to get one.
    """
    home = os.environ.get("JAVA_HOME")
    program = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if program is None:
        raise JavaError(f"Spark runs on Java, and there is none here. {GET_JAVA}")
    try:
        said = subprocess.run(
            [program, "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=ANSWER_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        where = "JAVA_HOME has no Java that can be started" if home else "Java cannot be started"
        raise JavaError(f"{where}: {error}. {GET_JAVA}") from error
    found = VERSION.search(said.stderr) or VERSION.search(said.stdout)
    if found is None:
        raise JavaError(f"{program} does not say its version. {GET_JAVA}")
    version = int(found["major"])
    if version < OLDEST:
        raise JavaError(f"{program} is Java {version}; Spark needs {OLDEST}. {GET_JAVA}")
    return program, version
