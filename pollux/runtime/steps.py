"""Named steps at which a test stops or kills a process.

Code calls `step` wherever work could be interrupted halfway. In operation it does nothing.

A test sets `POLLUX_STOP_AT` in the environment of the process that it starts:

    POLLUX_STOP_AT=load.renamed        SIGKILL the first time that the step is reached
    POLLUX_STOP_AT=load.renamed:3      SIGKILL the third time
    POLLUX_STOP_AT=pause:load.renamed  SIGSTOP instead: the test looks around, or kills something
                                       else, and sends SIGCONT

A step is named `<room>.<what has just been done>`, such as `release.switched`.
"""

import os
import signal

VARIABLE = "POLLUX_STOP_AT"

_times_reached = 0


def step(name: str) -> None:
    """Marks a step as reached; the process stops here where `POLLUX_STOP_AT` names it."""
    global _times_reached  # noqa: PLW0603
    asked = os.environ.get(VARIABLE)
    if not asked:
        return
    has_pause, asked = asked.startswith("pause:"), asked.removeprefix("pause:")
    asked_name, _, asked_time = asked.partition(":")
    if name != asked_name:
        return
    _times_reached += 1
    if _times_reached == int(asked_time or 1):
        os.kill(os.getpid(), signal.SIGSTOP if has_pause else signal.SIGKILL)
