"""The marts as their YAML declares them, read once per process."""

from functools import cache
from typing import Any

import yaml

from tests.conftest import PROJECT_DIR


@cache
def declared_marts(domain: str = "*") -> list[dict[str, Any]]:
    """The models of a domain's marts, or of all, in the order of their files; not to be changed."""
    return [
        model
        for path in sorted((PROJECT_DIR / "models/marts").glob(f"{domain}/*.yml"))
        for model in yaml.load(path.read_text(), yaml.CSafeLoader)["models"]
    ]
