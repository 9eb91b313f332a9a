"""Alert rules and the dashboard for Grafana ask for what the services really export."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from services.common.metrics import Metrics
from services.events.metrics import EventMetrics
from services.live.metrics import LiveMetrics
from services.scoring.models import CurrentModel
from tests.conftest import PROJECT_DIR

MONITORING = PROJECT_DIR / "deploy" / "monitoring"
# A worker shows these when it runs.
SHOWN = re.compile(r'\.show\(\s*"(\w+)"')
METRIC = re.compile(r"\b(?:pollux|process)_[a-z0-9_]+\b")
SELECTED = re.compile(r"\b((?:pollux|process)_[a-z0-9_]+)\{([^}]*)\}")
needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="needs promtool (Debian: prometheus)"
)
# What Prometheus adds to every series.
ADDED = {"job", "instance"}


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """Every metric that a service exports, with its labels."""
    metrics = Metrics()
    EventMetrics(metrics.registry)
    LiveMetrics(metrics.registry)
    CurrentModel(Path("models"), metrics)
    found = {
        name: set(getattr(collector, "_labelnames", ()))
        for name, collector in metrics.registry._names_to_collectors.items()
    }
    found |= {
        sample.name: set()
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name.startswith("process_")
    }
    worker = (PROJECT_DIR / "services" / "events" / "worker.py").read_text()
    return found | {name: set() for name in SHOWN.findall(worker)}


def rules() -> dict[str, str]:
    """The expressions of the alerts."""
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels() -> dict[str, str]:
    """The expressions of the dashboard."""
    dashboard = json.loads((MONITORING / "grafana.json").read_text())
    return {
        f"{panel['title']} {number}": target["expr"]
        for panel in dashboard["panels"]
        for number, target in enumerate(panel["targets"])
    }


@pytest.mark.parametrize("read", [rules, panels])
def test_only_exported_metrics_are_asked_for(exported, read) -> None:
    expressions = read()
    asked = {name: set(METRIC.findall(text)) for name, text in expressions.items()}
    assert len(set().union(*asked.values())) > 8
    assert {
        name: unknown for name, metrics in asked.items() if (unknown := metrics - set(exported))
    } == {}


@pytest.mark.parametrize("read", [rules, panels])
def test_metrics_have_the_labels_that_are_asked_for(exported, read) -> None:
    for name, text in read().items():
        for metric, selector in SELECTED.findall(text):
            assert set(re.findall(r"(\w+)\s*[=!]", selector)) <= exported[metric] | ADDED, name
        grouped = {
            label
            for labels in re.findall(r"\bby \(([^)]*)\)", text)
            for label in re.split(r",\s*", labels)
        }
        known = ADDED.union(*(exported[metric] for metric in METRIC.findall(text)))
        assert grouped <= known | ({"le"} if "_bucket" in text else set()), name


@needs_promtool
def test_prometheus_takes_its_configuration_and_the_rules(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch()
    for name in ("prometheus.yml", "alerts.yml"):
        text = (MONITORING / name).read_text()
        (tmp_path / name).write_text(text.replace("/run/secrets/pollux-metrics-key", str(key)))
    done = subprocess.run(
        ["promtool", "check", "config", tmp_path / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(rules())} rules found" in done.stdout


@needs_promtool
def test_rules_fire_on_made_up_series_and_not_before() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts_test.yml"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
