"""Live rows are computed by code that names models and keys: a column means what its model says."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from orchestration.load.declarations import read_datasets
from pollux.runtime.live import FOLLOWED, SEGMENT_COLUMNS
from tests.conftest import PROJECT_DIR
from tests.support.marts import declared_marts

MODULES = [
    *sorted((PROJECT_DIR / "services" / "live").glob("*.py")),
    *sorted((PROJECT_DIR / "pollux" / "runtime").glob("live*.py")),
]


def words(module: Path) -> Iterator[str]:
    """The words of a module's code: its names, and texts that are not documentation."""
    documentation: set[int] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            documentation.add(id(node.value))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in documentation:
                yield from re.findall(r"\w+", node.value)
        elif isinstance(node, ast.Attribute):
            yield node.attr


def test_no_column_that_a_model_computes_is_named() -> None:
    live = [
        mart
        for domain in FOLLOWED
        for mart in declared_marts(domain)
        if mart.get("config", {}).get("meta", {}).get("live")
    ]
    # A name of one word, such as `age`, means something else here.
    computed = {
        column["name"] for mart in live for column in mart["columns"] if "_" in column["name"]
    }
    assert {"household_rfm", "customer_info"} < {mart["name"] for mart in live}
    # What comes in with an event, and what a message tells of a household.
    events = [read_datasets(PROJECT_DIR)["events", one.table] for one in FOLLOWED.values()]
    computed -= {column.name for dataset in events for column in dataset.columns}
    computed -= {*SEGMENT_COLUMNS}
    assert len(computed) > 30
    named = {path.name: computed.intersection(words(path)) for path in MODULES}
    assert {name: found for name, found in named.items() if found} == {}
