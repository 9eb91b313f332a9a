"""What the project promises about itself: settings documented, layers apart, bare forms refused."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from cli.main import app
from pollux.runtime.settings import Settings
from services.events.settings import MqttSettings
from tests.conftest import PROJECT_DIR

FORBIDDEN = {
    "pollux": {"orchestration", "services", "cli", "dagster", "dbt", "fastapi"},
    "orchestration": {"services", "cli"},
    "services": {"orchestration", "cli", "dagster", "dbt"},
}


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


def test_every_command_and_exit_code_is_documented() -> None:
    documented = (PROJECT_DIR / "docs/commands.md").read_text()
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    names += [group.name for group in app.registered_groups]
    assert len(names) > 10
    for name in names:
        assert f"`pollux {name}" in documented, name
    sources = [
        p.read_text()
        for d in ("pollux", "orchestration", "services", "cli")
        for p in (PROJECT_DIR / d).rglob("*.py")
    ]
    codes = {code for text in sources for code in re.findall(r"exit_code = (\d+)", text)}
    assert codes >= {"1", "3", "4", "5", "6"}
    for code in codes:
        assert f"| {code} | " in documented, code


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_one_way(package: str) -> None:
    for path in (PROJECT_DIR / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            found = []
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found = [node.module or ""]
            for name in found:
                assert name.partition(".")[0] not in FORBIDDEN[package], f"{path}: {name}"


@pytest.mark.parametrize(
    "bare",
    [
        "        avg(sales_value) as mean_sales",
        "        round(sales_value, 2) as sales_value",
        "        ntile(5) over (order by total_sales)",
        "        percentile_cont(0.2) within group (order by total_sales)",
        "        baskets / days as baskets_per_day",
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


def test_no_committed_file_names_a_machine_or_a_registry() -> None:
    tracked = [
        path
        for folder in (".", "models", "orchestration", "services", "cli", "pollux", "docs")
        for path in Path(PROJECT_DIR, folder).glob("*" if folder == "." else "**/*")
        if path.is_file() and path.suffix in {".py", ".md", ".toml", ".lock", ".yml", ".sql"}
    ]
    assert len(tracked) > 100
    registry = re.compile(r"https?://[\w.:-]+/(simple|pypi|packages/[0-9a-f]{2})")
    for path in tracked:
        assert not registry.search(path.read_text()), path
