"""Clients as openapi-python-client generates them, and every operation called with them.

The services answer from the sample: the examples in the documents are what is asked for.
"""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

import pytest

from tests.conftest import PROJECT_DIR
from tests.services.openapi.support import KEY, Urls

pytestmark = pytest.mark.integration

FOLDER = PROJECT_DIR / "docs/openapi"
DOCUMENTS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
# What the generator is told to read as a file.
FILES = {"application/vnd.apache.parquet": "application/octet-stream"}
OPERATIONS = [
    pytest.param(service, path, operation, id=f"{service}-{operation['operationId']}")
    for service, document in DOCUMENTS.items()
    for path, methods in document["paths"].items()
    for operation in methods.values()
]
# At any offset, or without one: all that are sent are in UTC and say so.
TIMES = re.compile(r'"\d{4}-\d\d-\d\d[T ]\d\d:[^"]*"')
TIME = re.compile(r"(T\d\d:\d\d:\d\d)(\.\d+)?(?:\+00:00|Z)")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on the path with a generated package for each service: `client_api`, …."""
    # Every test process would import the generator, for one that runs it.
    from openapi_python_client import generate  # noqa: PLC0415
    from openapi_python_client.config import Config, ConfigFile, MetaType  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("clients")
    for service in DOCUMENTS:
        config = Config.from_sources(
            ConfigFile(post_hooks=[], content_type_overrides=FILES), MetaType.NONE,
            FOLDER / f"{service}.json", "utf-8",
            overwrite=False, output_path=folder / f"client_{service}",
        )  # fmt: skip
        # A warning, too, is an operation or a type that the client lacks.
        assert list(generate(config=config)) == [], service
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def resolved(schema: Any, document: Any) -> Any:
    """A schema, or the one that it refers to."""
    name = schema.get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"][name] if name else schema


def example_of(schema: Any, document: Any) -> Any:
    """A value as a schema's examples describe it."""
    schema = resolved(schema, document)
    if "examples" in schema:
        return schema["examples"][0]
    if schema.get("type") == "array":
        return [example_of(schema["items"], document)]
    return {
        name: example_of(one, document)
        for name, one in schema["properties"].items()
        if name in schema.get("required", [])
    }


def bodies_of(operation: Any, document: Any) -> list[Any]:
    """An example of each shape that the body may have; a single None without a body."""
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        return [None]
    (schema,) = (one["schema"] for one in content.values())
    schema = resolved(schema, document)
    shapes = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return [example_of(shape, document) for shape in shapes]


def function_of(service: str, operation: Any) -> ModuleType:
    tag = operation["tags"][0].replace(" ", "_")
    return importlib.import_module(f"client_{service}.api.{tag}.{operation['operationId']}")


def made_of(body: Any, module: ModuleType, place: int) -> Any:
    """A body as a caller makes it: in the shape at that place, or a list of that shape."""
    hint = get_type_hints(module.sync_detailed)["body"]
    shapes = get_args(hint) or (hint,)
    if isinstance(body, list):
        return [shapes[0].from_dict(one) for one in body]
    return shapes[place].from_dict(body)


def as_sent(parsed: Any) -> Any:
    """What a client has read, as JSON again."""
    if isinstance(parsed, list):
        return [as_sent(one) for one in parsed]
    document = parsed.to_dict() if hasattr(parsed, "to_dict") else parsed
    # Python writes six digits of a second, or none; services with or without zeros at the end.
    text = TIME.sub(lambda time: f"{time[1]}{(time[2] or '').rstrip('0')}Z", json.dumps(document))
    return json.loads(text)


def client_of(service: str, urls: Urls) -> Any:
    made = importlib.import_module(f"client_{service}").AuthenticatedClient
    return made(base_url=urls[service], token=KEY, raise_on_unexpected_status=True)


@pytest.mark.parametrize(("service", "path", "operation"), OPERATIONS)
def test_every_operation_is_called_and_its_answer_read_whole(
    packages: Path, urls: Urls, service: str, path: str, operation: Any
) -> None:
    document = DOCUMENTS[service]
    module = function_of(service, operation)
    arguments = {
        one["name"]: one["schema"]["examples"][0]
        for one in operation.get("parameters", [])
        if one.get("required")
    }
    for place, body in enumerate(bodies_of(operation, document)):
        if body is not None:
            arguments["body"] = made_of(body, module, place)
        answer = module.sync_detailed(client=client_of(service, urls), **arguments)
        assert answer.status_code == 200, answer.content
        if "application/json" in answer.headers["content-type"]:
            said = json.loads(answer.content)
            times = TIMES.findall(answer.content.decode())
            assert [one for one in times if not one.endswith('Z"')] == []
            assert as_sent(answer.parsed) == as_sent(said)
            if "{" in path and "data" in said:
                assert said["data"] != []
        elif answer.headers["content-type"] in FILES:
            assert answer.parsed.payload.read() == answer.content
        else:
            assert answer.parsed == answer.content.decode()


@pytest.mark.parametrize("explain", [True, False])
def test_an_explanation_is_not_lost(packages: Path, urls: Urls, explain: bool) -> None:
    operation = DOCUMENTS["api"]["paths"]["/v1/vouchers/select"]["post"]
    module = function_of("api", operation)
    models = importlib.import_module("client_api.models")
    (body,) = bodies_of(operation, DOCUMENTS["api"])
    found = module.sync(
        client=client_of("api", urls), body=models.SelectRequest.from_dict(body), explain=explain
    )
    assert isinstance(found, models.Explained if explain else models.Selected)
    if explain:
        assert found.times_used >= found.runners_up[0].times_used
        assert found.basis in {"segment", "country"}


@pytest.mark.parametrize("chosen", [None, ["household_key", "baskets"]])
def test_chosen_fields_are_read_as_some_of_a_document(
    packages: Path, urls: Urls, chosen: list[str] | None
) -> None:
    operation = DOCUMENTS["api"]["paths"]["/v1/households"]["get"]
    models = importlib.import_module("client_api.models")
    asked = {} if chosen is None else {"fields": [models.HouseholdRfmField(one) for one in chosen]}
    found = function_of("api", operation).sync(client=client_of("api", urls), limit=2, **asked)
    assert isinstance(found, models.HouseholdRfmPartPage if chosen else models.HouseholdRfmPage)
    first = found.data[0].to_dict()
    assert first["baskets"] > 0
    assert len(first) == (len(chosen) if chosen else len(models.HouseholdRfmField))


def test_a_problem_is_read_as_one(packages: Path, urls: Urls) -> None:
    operation = DOCUMENTS["api"]["paths"]["/v1/households/{household_key}"]["get"]
    found = function_of("api", operation).sync(4711, client=client_of("api", urls))
    models = importlib.import_module("client_api.models")
    assert isinstance(found, models.Problem)
    assert (found.type_, found.status) == ("urn:pollux:problem:unknown-household", 404)
