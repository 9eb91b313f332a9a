"""Links in the documentation: right in the repository, right on the site."""

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from mkdocs.exceptions import PluginError

from tests.conftest import PROJECT_DIR

PAGES = {"index.md", "load.md", "settings.md", "DECISIONS.md"}


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", PROJECT_DIR / "docs" / "site.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def on_site(hooks: ModuleType, source: str, page: str, markdown: str) -> str:
    """The text of a page as MkDocs gets it."""
    file = SimpleNamespace(abs_src_path=str(PROJECT_DIR / source), src_uri=page)
    files = SimpleNamespace(get_file_from_path=lambda path: path if path in PAGES else None)
    config = SimpleNamespace(extra={"repository": "https://example.org/code/"})
    text = hooks.on_page_markdown(markdown, SimpleNamespace(file=file), config, files)
    return str(text)


@pytest.mark.parametrize(
    ("source", "page", "link", "expected"),
    [
        ("README.md", "index.md", "docs/load.md#what-lands", "load.md#what-lands"),
        ("README.md", "index.md", "DECISIONS.md", "DECISIONS.md"),
        ("README.md", "index.md", "seeds", "https://example.org/code/seeds"),
        ("docs/load.md", "load.md", "settings.md", "settings.md"),
        ("docs/load.md", "load.md", "../README.md", "index.md"),
        (
            "docs/load.md",
            "load.md",
            "../dbt_project.yml#L3",
            "https://example.org/code/dbt_project.yml#L3",
        ),
        ("docs/load.md", "load.md", "#what-lands", "#what-lands"),
        ("docs/load.md", "load.md", "https://mqtt.org/a#b", "https://mqtt.org/a#b"),
    ],
)
def test_a_link_leads_to_the_page_or_to_the_code(
    hooks: ModuleType, source: str, page: str, link: str, expected: str
) -> None:
    before, after = f"See [it]({link}), ![and]({link})", f"See [it]({expected}), ![and]({expected})"
    assert on_site(hooks, source, page, before) == after


def test_a_link_to_nothing_stops_the_site(hooks: ModuleType) -> None:
    with pytest.raises(PluginError, match=r"load\.md links to \.\./models/none\.sql, which"):
        on_site(hooks, "docs/load.md", "load.md", "a [rule](../models/none.sql)")


def test_every_page_of_the_repository_is_on_the_site(hooks: ModuleType) -> None:
    beside = {path.name for path in Path(PROJECT_DIR).glob("*.md")}
    assert beside == set(hooks.ROOT_PAGES)


def test_every_page_is_in_the_navigation() -> None:
    """MkDocs refuses others, but only where the site is built."""
    navigation = (PROJECT_DIR / "mkdocs.yml").read_text()
    pages = [path.name for path in (PROJECT_DIR / "docs").glob("*.md")]
    assert [page for page in pages if f": {page}\n" not in navigation] == []
