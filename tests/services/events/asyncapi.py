"""What docs/asyncapi.yaml says of a message that was really sent or heard."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import yaml
from jsonschema import Draft7Validator

from tests.conftest import PROJECT_DIR

DOCUMENT = yaml.safe_load((PROJECT_DIR / "docs/asyncapi.yaml").read_text())
# The service's side: it receives what tests send, and sends what they hear.
Action = Literal["receive", "send"]


@dataclass(frozen=True)
class Captured:
    """A message at the broker, its topic by the default name."""

    action: Action
    topic: str
    payload: bytes
    # User properties, responseTopic and correlationData.
    properties: Mapping[str, object]


def resolved(part: Any) -> Any:
    """A part of the document with its references put in place."""
    if isinstance(part, list):
        return [resolved(one) for one in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        found = DOCUMENT
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return resolved(found)
    return {key: resolved(value) for key, value in part.items()}


@cache
def channel_of(topic: str) -> str:
    """The channel of a topic: by its address, else that of response topics."""
    for name, channel in DOCUMENT["channels"].items():
        address = re.escape(str(channel["address"])).replace(r"\{", "{").replace(r"\}", "}")
        if re.fullmatch(re.sub("{[a-z]+}", "[^/]+", address), topic):
            return str(name)
    return "reply"


@cache
def messages_of(channel: str) -> Mapping[str, tuple[bool, Draft7Validator, Draft7Validator]]:
    """The messages of a channel: whether it is JSON, and who checks payload and properties."""
    found = {}
    for name, message in resolved(DOCUMENT["channels"][channel]["messages"]).items():
        kind = message.get("contentType", DOCUMENT["defaultContentType"])
        schemas = (message["payload"], message.get("headers", {}))
        for schema in schemas:
            Draft7Validator.check_schema(schema)
        found[name] = (kind == "application/json", *map(Draft7Validator, schemas))
    return found


def matches(one: Captured) -> list[str]:
    """The messages of the document that this one is."""
    found = messages_of(channel_of(one.topic))
    return [name for name, checks in found.items() if not next(_errors(one, *checks), None)]


def problems(one: Captured) -> list[str]:
    """Why it is none of the messages that the document has there; empty if it is one."""
    if matches(one):
        return []
    return [
        f"{one.topic}: no {name}: {error}"
        for name, checks in messages_of(channel_of(one.topic)).items()
        for error in _errors(one, *checks)
    ]


def _errors(
    one: Captured, is_json: bool, payload: Draft7Validator, headers: Draft7Validator
) -> Iterator[str]:
    try:
        text = one.payload.decode()
        value = json.loads(text) if is_json else text
    except ValueError:
        yield "it cannot be read"
        return
    for error in (*payload.iter_errors(value), *headers.iter_errors(dict(one.properties))):
        yield f"{error.json_path}: {error.message[:200]}"
