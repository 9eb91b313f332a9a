"""The examples of a documentation page: read from its Markdown, run as they stand, compared.

A block of code is an example. Without a declaration it is run whole:

- lines that begin with `$ ` are commands, what follows each is its answer, which is compared; in a
  block without any, every line belongs to a script;
- a block of language `python`, or that begins with an import, is a program: where an expression is
  followed by a comment that is an expression, too, the comment is its value.

In an answer `…` stands for anything, blanks do not count, and a duration (`12.7 ms`) stands for any
other. On another sample than that of `pollux up` an answer in JSON has the keys shown, whatever
their values, and others are not compared. A request that is refused fails, unless the answer shown
is a problem document.

An HTML comment before the block declares what is different:

    <!-- example: shown only, REASON -->       not run
    <!-- example: slow -->                     run on the default sample only (`make endurance`)
    <!-- example: printed by pollux up -->     what the first `pollux up` prints; numbers may be any
"""

import ast
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import tokenize
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

import pytest

from tests.conftest import PROJECT_DIR
from tests.support.programs import free_port

PAGES = (
    "README.md",
    *(f"docs/{name}.md" for name in ("api", "events", "release", "scoring", "segments")),
)

Kind = Literal["shell", "python", "shown only", "printed by pollux up"]
INDENT = "    "
DECLARATION = re.compile(r"<!-- example: (.*) -->")
SHELLS = ("", "sh", "bash", "console")
SECONDS, SLOW_SECONDS = 120, 900

# What examples use besides Pollux.
PROGRAMS = ("curl", "jq", "mosquitto_pub", "mosquitto_sub", "openssl")
DEFAULT_PORTS = {
    "API": 8000,
    "SCORING": 8001,
    "EVENTS": 8002,
    "LIVE": 8003,
    "DASHBOARD": 8501,
    "DAGSTER": 3000,
    "BROKER": 1883,
}
# What the running installation is the result of.
DONE_ALREADY = re.compile(r"^(make run|make setup|pollux up)\b", re.MULTILINE)
SERVE = re.compile(r"^((?:\w+=\S+ )*)pollux serve (api|scoring|events)\b.*$", re.MULTILINE)

SUBSCRIBES = re.compile(r"^(?:\w+=\S+ )?mosquitto_sub .*&$", re.MULTILINE)

# Of JSON: a key, or a value.
KEY_OR_VALUE = re.compile(
    r'(?P<key>"[^"]*"\s*:)|"[^"]*"|(?<![\w"])-?\d[\d.e+-]*|\b(?:true|false|null)\b'
)
NUMBER = re.compile(r"\d[\d,.]*")
DURATION = re.compile(r"\d[\d,.]* ?(ms|s)\b")
PROBLEM = re.compile(r'"status": ?[45]\d\d|^HTTP/\S+ [45]\d\d', re.MULTILINE)
REFUSED = 22  # of curl, with --fail-with-body

# A refused request fails; its body is printed all the same.
# What is left in the background would hold the output open.
START = """
trap 'kill $(jobs -p) 2>/dev/null || :' EXIT
curl() { command curl --fail-with-body --max-time 60 "$@"; }
ready() { until command curl -sf "$1" >/dev/null; do kill -0 $! || exit 1; sleep 0.1; done; }
"""
MARK = "@@ended@@"

START_OF_PYTHON = """
def shown(value, text):
    assert repr(value) == text, f"the page shows {text}, but it is {value!r}"
"""


class ExampleError(Exception):
    """An example cannot be read, does not run, or answers something else than the page shows."""


@dataclass(frozen=True)
class Example:
    """A block of code of a page; `reason` says why it is shown only."""

    page: str
    line: int
    text: str
    kind: Kind
    is_slow: bool = False
    reason: str = ""

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.page}:{self.line}"


class Place(NamedTuple):
    """A running installation: its data folder, its ports by the name in their settings."""

    data_dir: Path
    ports: Mapping[str, int]
    # Whether it has the sample that `pollux up` makes in an empty folder.
    is_default: bool
    # What its first `pollux up` printed.
    output: str = ""


def read_page(page: str) -> list[Example]:
    """The examples of a page of the project; raises `ExampleError`."""
    return read_examples(page, (PROJECT_DIR / page).read_text())


def read_section(page: str, title: str) -> list[Example]:
    """The examples of a section (`## title`) of a page that are there to be run."""
    lines = (PROJECT_DIR / page).read_text().splitlines()
    start = lines.index(f"## {title}") + 1
    ends = (number for number, line in enumerate(lines) if number > start and line[:3] == "## ")
    within = range(start, next(ends, len(lines)))
    return [one for one in read_page(page) if one.line in within and one.kind != "shown only"]


def read_examples(page: str, markdown: str) -> list[Example]:
    """The examples of a page; raises `ExampleError` for a declaration without its block."""
    found = []
    lines = markdown.splitlines()
    declared: tuple[int, str] | None = None
    number = 0
    while number < len(lines):
        line, start = lines[number], number + 1
        before = lines[number - 1] if number else ""
        number += 1
        if match := DECLARATION.fullmatch(line.strip()):
            declared = start, match[1]
            continue
        if line.startswith("```"):
            end = lines.index("```", number)
            block, language, number = lines[number:end], line[3:].strip(), end + 1
        elif line.startswith(INDENT) and not before.strip():
            while number < len(lines) and (
                lines[number].startswith(INDENT) or not lines[number].strip()
            ):
                number += 1
            block, language = lines[start - 1 : number], ""
        elif line.strip() and declared is not None:
            raise ExampleError(f"{page}:{declared[0]}: no block follows this declaration")
        else:
            continue
        text = textwrap.dedent("\n".join(block)).strip("\n")
        found.append(_example(page, start, text, language, "" if declared is None else declared[1]))
        declared = None
    return found


def _example(page: str, line: int, text: str, language: str, declared: str) -> Example:
    kind, _, reason = declared.partition(", ")
    if kind == "shown only" and reason:
        return Example(page, line, text, "shown only", reason=reason)
    if declared == "printed by pollux up":
        return Example(page, line, text, "printed by pollux up")
    if declared not in ("", "slow"):
        raise ExampleError(f"{page}:{line}: {declared!r} declares nothing (tests/support/examples)")
    is_python = language == "python" or (not language and re.match(r"(from|import) \w", text))
    if not is_python and language not in SHELLS:
        raise ExampleError(f"{page}:{line}: a block of {language} must be declared as shown only")
    return Example(page, line, text, "python" if is_python else "shell", declared == "slow")


def check(example: Example, place: Place) -> None:
    """Runs an example on an installation; raises `ExampleError` where it is not as shown."""
    if example.kind == "printed by pollux up" and place.is_default:
        shown, printed = (NUMBER.sub("0", text) for text in (example.text, place.output))
        _compare(example, "…" + shown + "…", printed)
    elif example.kind == "python":
        _run(example, place, [sys.executable, "-c"], _python(example.text))
    elif example.kind == "shell" and re.search(r"^\$ ", example.text, re.MULTILINE):
        _check_session(example, place)
    elif example.kind == "shell":
        script = START + _in_background(example.text) + _wait_for_messages(example.text)
        _run(example, place, ["bash", "-e", "-c"], script)


def check_page(page: str, place: Place) -> None:
    """Runs the examples of a page; raises `ExampleError` with all that is not as shown.

    Slow ones are for the default sample only. Skips where a program that they use is not installed.
    """
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        pytest.skip(f"not installed, but used by examples: {', '.join(missing)}")
    faults = []
    for example in read_page(page):
        if place.is_default or not example.is_slow:
            try:
                check(example, place)
            except ExampleError as error:
                faults.append(str(error))
    if faults:
        raise ExampleError("\n\n".join(faults))


def _check_session(example: Example, place: Place) -> None:
    steps = read_session(example.text)
    script = START
    for number, (command, _) in enumerate(steps, 1):
        script += _in_background(command) + "\ncode=$?"
        script += _wait_for_messages(example.text) if number == len(steps) else ""
        script += f"\necho; echo {MARK} $code\n"
    printed = _run(example, place, ["bash", "-c"], script)
    answers = re.split(rf"\n{MARK} (\d+)\n", printed)
    codes = answers[1::2]
    for (command, shown), answer, code in zip(steps, answers[::2], codes, strict=False):
        expected = REFUSED if PROBLEM.search(shown) else 0
        if int(code) != expected:
            raise ExampleError(f"{example.place}: {command}\nended with {code}:\n{answer}")
        if shown and (place.is_default or shown[0] in "{["):
            _compare(example, shown, answer, has_values=place.is_default)
    if len(codes) < len(steps):
        raise ExampleError(f"{example.place}: ended early:\n{printed}")


def read_session(text: str) -> list[tuple[str, str]]:
    """The commands of a session, each with the answer shown, which may be empty."""
    steps: list[tuple[list[str], list[str]]] = []
    is_open = False
    for line in text.splitlines():
        if line.startswith("$ ") and not is_open:
            steps.append(([line[2:]], []))
        elif is_open:
            steps[-1][0].append(line)
        elif steps:
            steps[-1][1].append(line)
        else:
            raise ExampleError(f"an answer without a command: {line}")
        is_open = _goes_on("\n".join(steps[-1][0]))
    return [("\n".join(command), "\n".join(answer).strip()) for command, answer in steps]


def _goes_on(command: str) -> bool:
    """Whether the shell would wait for more: a quote is open, or the line is continued."""
    if command.endswith("\\"):
        return True
    done = subprocess.run(
        ["bash", "-n"], input=command, capture_output=True, text=True, check=False
    )
    return "unexpected" in done.stderr


def _compare(example: Example, shown: str, answer: str, *, has_values: bool = True) -> None:
    if not matches(shown, answer, has_values=has_values):
        raise ExampleError(f"{example.place} shows\n{shown}\n\nbut the answer is\n{answer}")


def matches(shown: str, answer: str, *, has_values: bool = True) -> bool:
    """Whether an answer is the one shown; without `has_values`, whether its keys in order are."""
    if not has_values:
        shown = KEY_OR_VALUE.sub(lambda found: found["key"] or "…", shown)
        answer = KEY_OR_VALUE.sub(lambda found: found["key"] or "", answer)
    pieces = (re.escape(_squeezed(piece)) for piece in shown.split("…"))
    return re.fullmatch(".*?".join(pieces), _squeezed(answer), re.DOTALL) is not None


def _squeezed(text: str) -> str:
    return "".join(DURATION.sub(r"⏱\1", text).split())


def _in_background(commands: str) -> str:
    """The commands with each server in the background, and what follows waiting for it."""

    def serve(match: re.Match[str]) -> str:
        variable = f"POLLUX_{match[2].upper()}_PORT"
        own = re.search(rf"{variable}=(\d+)", match[1])
        port = own[1] if own else f"${variable}"
        return f"{match[0].partition('#')[0]} &\nready localhost:{port}/readyz"

    commands = SERVE.sub(serve, _local_names(commands))
    # What is published next must find it subscribed.
    return SUBSCRIBES.sub(r"\g<0>\nsleep 0.5", commands)


def _wait_for_messages(commands: str) -> str:
    """Waits for what a subscriber in the background was told to wait for."""
    return "\nwait" if SUBSCRIBES.search(commands) else ""


def _local_names(text: str) -> str:
    return DONE_ALREADY.sub(":", text.replace(".venv/bin/", ""))


def _run(example: Example, place: Place, shell: Sequence[str], script: str) -> str:
    """What a script prints on an installation; raises `ExampleError` where it fails."""
    # A server that an example starts runs beside the one that is up.
    started = SERVE.findall(_local_names(re.sub(r"^\$ ", "", example.text, flags=re.MULTILINE)))
    ports = {**place.ports, **{name.upper(): free_port() for _, name in started}}
    environment = os.environ | {
        "POLLUX_DATA_DIR": str(place.data_dir),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **{f"POLLUX_{name}_PORT": str(port) for name, port in ports.items()},
    }
    # What an example writes is not for the checkout, which only dbt's needs.
    folder = TemporaryDirectory()
    process = subprocess.Popen(
        [*shell, _localized(script, place.data_dir, ports)],
        cwd=PROJECT_DIR if "--profiles-dir" in script else folder.name,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=SLOW_SECONDS if example.is_slow else SECONDS)
    except subprocess.TimeoutExpired as error:
        said = (error.output or b"").decode()
        raise ExampleError(f"{example.place} does not end:\n{said}") from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        folder.cleanup()
    if process.returncode != 0:
        raise ExampleError(f"{example.place} ended with {process.returncode}:\n{printed}")
    return printed


def _localized(script: str, data_dir: Path, ports: Mapping[str, int]) -> str:
    """A script whose default ports, default data folder and example host are this machine's."""
    for name, default in DEFAULT_PORTS.items():
        hosts = r"(?:localhost|127\.0\.0\.1|shop\.example)"
        script = re.sub(rf"\b{hosts}:{default}\b", f"127.0.0.1:{ports[name]}", script)
    script = re.sub(r"\b(mosquitto_[ps]ub) ", rf"\1 -p {ports['BROKER']} ", script)
    return re.sub(r"(?<![\w./-])data/", f"{data_dir}/", script)


def _python(source: str) -> str:
    """A program that asserts what comments show of the values of expressions."""
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    lines = []
    for statement in ast.parse(source).body:
        code = ast.unparse(statement)
        comment = comments.get(statement.end_lineno or 0, "")
        if isinstance(statement, ast.Expr) and _is_expression(comment):
            code = f"shown({code}, {comment!r})"
        lines.append(code)
    return START_OF_PYTHON + "\n".join(lines)


def _is_expression(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return True
