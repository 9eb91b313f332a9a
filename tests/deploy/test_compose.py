"""compose.yaml: what the specification allows, what the command knows, what `pollux up` starts."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from cli.healthy import url_of
from cli.serving import BROKER, services
from pollux.runtime.settings import Settings
from services.events.settings import REQUIRED, MqttSettings, read_mqtt_settings
from tests.conftest import PROJECT_DIR

TEXT = (PROJECT_DIR / "compose.yaml").read_text()
EXAMPLE = (PROJECT_DIR / ".env.example").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"].startswith("pollux:")}
VARIABLE = re.compile(r"\$\{(\w+)(:[?-][^}]*)?\}")


def values(text: str) -> str:
    """A value of the file with every variable filled in."""
    # A hash of a key is all that is not free.
    return VARIABLE.sub(
        lambda found: "0" * 64 if "KEYS" in found[1] else (found[2] or ":-x")[2:] or "x", text
    )


def test_file_is_what_the_specification_allows() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            "compose.yaml",
        ],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_it_runs_what_pollux_up_runs(tmp_path: Path) -> None:
    started = {
        tuple(one.command[-2:])
        for one in services(Settings(data_dir=tmp_path))
        if one.name != BROKER
    }
    assert len(started) == 5
    assert {tuple(one["command"]) for one in OURS.values()} == started | {("dagster",)}
    assert SERVICES.keys() - OURS.keys() == {"postgres", "mosquitto", "proxy"}


@pytest.mark.parametrize("name", OURS)
def test_settings_are_known_and_can_be_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {key: values(value) for key, value in OURS[name]["environment"].items()}
    ours = {key for key in given if key.startswith("POLLUX_")}
    assert ours <= {f"POLLUX_{field.upper()}" for field in Settings.model_fields}
    assert given.keys() - ours <= {field.upper() for field in MqttSettings.model_fields}
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    assert Settings().database_url
    read_mqtt_settings()


def test_topics_are_those_of_all_who_use_them() -> None:
    topics = {
        name: {
            key: one["environment"][key]
            for key in one["environment"]
            if key.endswith("_TOPIC_NAME")
        }
        for name, one in OURS.items()
    }
    assert topics["events"] == topics["live"]
    # What the updater writes by, and what the event service must have.
    needed = {name.upper() for name in REQUIRED if name.endswith("_topic_name")}
    assert topics["live"].keys() == needed | {"SEGMENT_CHANGED_TOPIC_NAME"}


def test_environments_name_only_services_and_where_they_listen() -> None:
    urls = {name: url_of(one["command"], Settings()) for name, one in OURS.items()}
    ports = {name: urlsplit(url).port for name, url in urls.items() if url}
    text = TEXT + (PROJECT_DIR / "deploy" / "caddy" / "Caddyfile").read_text()
    named = re.findall(rf"(?:http://|reverse_proxy |any_of )({'|'.join(OURS)})[: ](\d+)", text)
    # Nobody but Prometheus asks the process that computes live rows.
    del ports["live"]
    assert {name for name, _ in named} == OURS.keys() - {"live"}
    assert {(name, int(port)) for name, port in named} == set(ports.items())


def test_prometheus_asks_the_services_that_have_metrics() -> None:
    text = (PROJECT_DIR / "deploy" / "monitoring" / "prometheus.yml").read_text()
    asked = dict(re.findall(r"names: \[(\w+)\], type: A, port: (\d+)", text))
    urls = {name: url_of(OURS[name]["command"], Settings()) for name in asked}
    assert asked == {name: str(urlsplit(url).port) for name, url in urls.items()}
    assert asked.keys() == OURS.keys() - {"dagster", "dashboard"}


def test_example_has_every_variable() -> None:
    used = dict(VARIABLE.findall(TEXT))
    needed = {name for name, default in used.items() if not default.startswith(":-")}
    assert set(re.findall(r"^(\w+)=", EXAMPLE, re.MULTILINE)) == needed
    optional = dict(re.findall(r"^#(\w+)=(.*)$", EXAMPLE, re.MULTILINE))
    assert optional == {name: default[2:] for name, default in used.items() if name not in needed}


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_limited_restarted_and_waits_for_health(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["healthcheck"]
    assert name in OURS or service["healthcheck"]["test"]
    assert name not in OURS or (service["read_only"] and service["cap_drop"] == ["ALL"])
    for needed, how in service.get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}, needed


def test_api_and_events_have_two_replicas() -> None:
    assert {name for name, one in SERVICES.items() if one["deploy"].get("replicas") == 2} == {
        "api",
        "events",
    }
