"""dbt's command line, without work that nobody asks for: a program.

dbt makes some fifteen messages of level debug for each node, as protobuf and as JSON, and looks at
the level last: here a message is made when somebody wants to see it. And twice for each node it
looks up each of 630 macros in five dictionaries: here these are one. With `--when-told` it reads
the project while the caller still works.

Belongs here: what is changed in dbt, which is pinned to one minor version. Does not belong here:
the command line (`orchestration.transform.dbt`).
"""

import sys
from collections.abc import Iterator
from typing import Any

from dbt.cli.main import cli
from dbt.context.macros import MacroNamespace, NamespaceMember
from dbt.task.runnable import GraphRunnableTask
from dbt_common.events.base_types import BaseEvent, EventLevel
from dbt_common.events.event_manager import EventManager

WHEN_TOLD = "--when-told"
_make = BaseEvent.__init__
_fire = EventManager.fire_event
_run = GraphRunnableTask.execute_with_hooks


def _keep(event: BaseEvent, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
    object.__setattr__(event, "given", (args, kwargs))


def _look_up(event: BaseEvent, name: str) -> Any:  # noqa: ANN401
    if name != "pb_msg":
        return getattr(event.pb_msg, name)
    args, kwargs = event.given
    _make(event, *args, **kwargs)
    return object.__getattribute__(event, "pb_msg")


def _fire_what_is_read(
    manager: EventManager,
    e: BaseEvent,
    level: EventLevel | None = None,
    node: Any = None,  # noqa: ANN401
    force_warn_or_error_handling: bool = False,
    # dbt-common, which has this class, is pinned by nobody.
    **more: Any,  # noqa: ANN401
) -> None:
    is_read = (
        force_warn_or_error_handling
        or (level or e.level_tag()) is not EventLevel.DEBUG
        or any(logger.level is EventLevel.DEBUG for logger in manager.loggers)
    )
    if is_read:
        _fire(manager, e, level, node, force_warn_or_error_handling, **more)


def _names(namespace: MacroNamespace) -> Iterator[str]:
    return iter(_by_name(namespace))


def _macro(namespace: MacroNamespace, name: str) -> NamespaceMember:
    return _by_name(namespace)[name]


def _by_name(namespace: MacroNamespace) -> dict[str, NamespaceMember]:
    found: dict[str, NamespaceMember] | None = namespace.__dict__.get("by_name")
    if found is None:
        found = {}
        # The first one that has a name decides.
        for members in reversed(list(namespace._search_order())):  # noqa: SLF001
            found.update(members)
        namespace.__dict__["by_name"] = found
    return found


def make_quicker() -> None:
    """Changes dbt in this process."""
    BaseEvent.__init__ = _keep
    BaseEvent.__getattr__ = _look_up
    EventManager.fire_event = _fire_what_is_read
    MacroNamespace.__iter__ = _names
    MacroNamespace.__getitem__ = _macro


def run_when_told() -> None:
    """Has dbt read the project at once and wait for a line to run it; without one it ends."""

    def wait(task: GraphRunnableTask, selected_uids: Any) -> Any:  # noqa: ANN401
        if not sys.stdin.readline():
            sys.exit("Nobody told dbt to run.")
        return _run(task, selected_uids)

    GraphRunnableTask.execute_with_hooks = wait


if __name__ == "__main__":
    make_quicker()
    if WHEN_TOLD in sys.argv:
        sys.argv.remove(WHEN_TOLD)
        run_when_told()
    cli()
