"""What the project promises about itself: settings documented, layers apart, bare forms refused."""

import ast
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
import yaml

from cli.app import app
from pollux.runtime.settings import Settings
from services.events.settings import MqttSettings
from tests.conftest import PROJECT_DIR


def test_every_setting_is_documented_with_its_default() -> None:
    documented = (PROJECT_DIR / "docs/settings.md").read_text()
    rows = dict(re.findall(r"^\| `(POLLUX_\w+)` \| ?(.*?) ?\|", documented, re.MULTILINE))
    expected = {}
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = f"{default:g}" if isinstance(default, float) else str(default or "")
        expected[f"POLLUX_{name.upper()}"] = f"`{shown}`" if shown else ""
    assert rows == expected


def test_every_mqtt_setting_is_documented_with_its_default() -> None:
    documented = (PROJECT_DIR / "docs/settings.md").read_text()
    rows = re.findall(r"^\| ((?:`[A-Z_]+`(?:, )?)+) \| ?(.*?) ?\|", documented, re.MULTILINE)
    found = {
        name: default
        for names, default in rows
        for name in re.findall(r"`(\w+)`", names)
        if not name.startswith("POLLUX_")
    }
    expected = {}
    for name, field in MqttSettings.model_fields.items():
        shown = str(field.default or "")
        expected[name.upper()] = f"`{shown}`" if shown else ""
    assert found == expected


def test_a_setting_means_in_the_page_what_it_means_in_the_code() -> None:
    page = (PROJECT_DIR / "docs/settings.md").read_text()
    rows = re.findall(r"^\| `([A-Z_]+)` \|[^|]*\| (.+) \|$", page, re.MULTILINE)
    meanings = {name: re.sub(r"\[(.+?)\]\(.+?\)|`", r"\1", text) for name, text in rows}
    said = {f"POLLUX_{name.upper()}": one for name, one in Settings.model_fields.items()}
    said |= {name.upper(): one for name, one in MqttSettings.model_fields.items()}
    # The page may say more.
    for name, field in said.items():
        assert meanings[name].startswith((field.description or "?").removesuffix(".")), name


def test_every_command_and_option_is_documented() -> None:
    documented = (PROJECT_DIR / "docs/commands.md").read_text()
    rows = [line for line in documented.splitlines() if line.startswith("| `pollux ")]
    commands = list(leaves(typer.main.get_command(app), ()))
    assert len(commands) > 20
    for words, command in commands:
        group, name = words[0], words[-1]
        about = [row for row in rows if row.startswith(f"| `pollux {group}") and name in row]
        assert about, words
        for option in command.params:
            if option.param_type_name == "option" and option.name != "help":
                spellings = [*option.opts, *option.secondary_opts]
                found = any(spelling in row for row in about for spelling in spellings)
                assert found, (words, spellings)


def leaves(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, below in getattr(command, "commands", {}).items():
        yield from leaves(below, (*words, name))
    if not hasattr(command, "commands"):
        yield words, command


def test_every_exit_code_is_documented() -> None:
    documented = (PROJECT_DIR / "docs/commands.md").read_text()
    codes = {code for text in sources() for code in re.findall(r"exit_code = (\d+)", text)}
    assert codes >= {"1", "3", "4", "5", "6"}
    for code in codes:
        assert f"| {code} | " in documented, code


def test_every_problem_is_documented() -> None:
    documented = "".join(path.read_text() for path in (PROJECT_DIR / "docs").glob("*.md"))
    made = r"(?:(?:ProblemError|__init__)\(\s*HTTPStatus\.\w+,|not_found\()"
    problem = re.compile(rf"{made}\s*\"([a-z-]+)\"")
    kinds = {kind for text in sources() for kind in problem.findall(text)}
    assert kinds >= {"no-associations", "unknown-household", "no-model", "not-ready"}
    assert [kind for kind in sorted(kinds) if f"`{kind}`" not in documented] == []


def sources() -> list[str]:
    return [(PROJECT_DIR / name).read_text() for name in source_names()]


def source_names() -> set[str]:
    folders = ("pollux", "orchestration", "services", "cli")
    paths = [path for d in folders for path in (PROJECT_DIR / d).rglob("*.py")]
    return {path.relative_to(PROJECT_DIR).as_posix() for path in paths}


@pytest.mark.parametrize(
    "bare",
    [
        "        avg(sales_value) as mean_sales",
        "        round(sales_value, 2) as sales_value",
        "        ntile(5) over (order by total_sales)",
        "        percentile_cont(0.2) within group (order by total_sales)",
        "        baskets / days as baskets_per_day",
        "        trim(description) as campaign_type",
        "        now() as built_at",
        "        current_date as today",
    ],
)
def test_bare_forms_are_refused(bare: str) -> None:
    checks = yaml.safe_load((PROJECT_DIR / "dbt-bouncer.yml").read_text())["manifest_checks"]
    patterns = [
        check["regexp_pattern"]
        for check in checks
        if check["name"] == "check_model_code_does_not_contain_regexp_pattern"
    ]
    model = f"select\n{bare}\nfrom transactions"
    assert any(re.search(pattern, model, re.DOTALL) for pattern in patterns)


# Texts of this test are in pieces, so that it does not find itself.
REGISTRY = re.compile(
    r"://[^\s/]+(/[^\s/]+)*/(simple|pypi|packages/[0-9a-f]{2})\b|" + "index" + "-url"
)
MACHINE = re.compile(r"(?<![\w.$}])/(home|root|work|Users)/\w")


def test_no_committed_file_names_a_machine_or_a_registry() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT_DIR, capture_output=True, check=False, text=True
    )
    if listed.returncode:
        pytest.skip("this is no git checkout")
    files = [PROJECT_DIR / name for name in listed.stdout.split("\0") if name]
    texts = {path: path.read_bytes().decode(errors="replace") for path in files if path.is_file()}
    assert len(texts) > 500
    for pattern in (REGISTRY, MACHINE):
        assert [str(path) for path, text in texts.items() if pattern.search(text)] == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (REGISTRY, "https:" + "//host.example/repository/python/simple"),
        (REGISTRY, "https:" + "//host.example/packages/0a/b"),
        (REGISTRY, "--" + "index" + "-url=x"),
        (MACHINE, "see /" + "work/main"),
        (MACHINE, '"/' + 'home/somebody"'),
    ],
)
def test_such_names_are_found(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)


DATABASE = re.compile(r"\b(psycopg|duckdb|asyncpg|sqlalchemy)\b")
MASKING = ("told", "without_values")
# Who typed a query is told all that the database says of it.
ANSWERED = {"cli/commands/database.py"}


def test_what_a_database_says_is_passed_on_without_values() -> None:
    assert unmasked("try: x()\nexcept duckdb.Error as e: raise Other(f'no: {e}')") == [2]
    assert unmasked("try: x()\nexcept OSError as e: raise Other(f'no: {e}')") == []
    assert unmasked("try: x()\nexcept psycopg.Error as e: raise Other(told(e), e.sqlstate)") == []
    found = {name: unmasked((PROJECT_DIR / name).read_text()) for name in source_names() - ANSWERED}
    assert {name: lines for name, lines in found.items() if lines} == {}


def unmasked(text: str) -> list[int]:
    """The lines of handlers that use the text of a database's error as it is."""
    return [
        line
        for handler in ast.walk(ast.parse(text))
        if isinstance(handler, ast.ExceptHandler) and handler.name and handler.type
        if DATABASE.search(ast.unparse(handler.type))
        for line in texts_of(handler, handler.name)
    ]


def texts_of(node: ast.AST, name: str) -> Iterator[int]:
    if isinstance(node, ast.Call) and ast.unparse(node.func) in MASKING:
        return
    value = None
    if isinstance(node, ast.FormattedValue):
        value = node.value
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "str":
        value = node.args[0]
    if isinstance(value, ast.Name) and value.id == name:
        yield value.lineno
    for child in ast.iter_child_nodes(node):
        yield from texts_of(child, name)
