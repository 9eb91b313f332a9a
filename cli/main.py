"""The entry point of the `pollux` command.

Belongs here: what must be set up before anything else is imported. The commands are in `cli.app`.
"""

import atexit
import gc
import io
import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Runs the command; an interruption prints one line, whenever it comes."""
    # No telemetry, whatever dbt or its adapters default to.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # It looks for plugins in every package that is installed.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    atexit.register(_end_sooner)
    # Not an exception, which could surface during an import, where some libraries swallow it.
    signal.signal(signal.SIGINT, _end_at_once)
    allow_any_terminal()
    from pollux.runtime.privacy import keep_private

    keep_private()
    try:
        from cli.app import run
    except (MemoryError, OSError, ImportError) as error:
        from cli.explain import explain

        sys.exit(f"✗ {explain(error) or error}")
    sys.exit(run())


def allow_any_terminal() -> None:
    """Prints a question mark for each character that the terminal cannot show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _end_sooner() -> None:
    """Spares the last look for garbage in all that was imported, a fifth of a short command."""
    # It would warn of its objects that were not looked for.
    if "duckdb" not in sys.modules:
        gc.freeze()


def _end_at_once(_number: int, _frame: FrameType | None) -> None:
    os.write(sys.stderr.fileno(), b"\xe2\x9c\x97 Interrupted.\n")
    os._exit(130)


if __name__ == "__main__":
    main()
