"""What `mkdocs.yml` cannot say: pages of the repository's root, dbt's own docs, links to code.

MkDocs calls these functions by their names.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Link, Navigation, Section
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Pages of the site that lie beside docs/, by what they are called there.
ROOT_PAGES = {
    "README.md": "index.md",
    **{name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "DECISIONS.md", "SECURITY.md")},
}
DBT_DOCS = ROOT / "target" / "dbt-docs" / "static_index.html"
ICON = "../assets/images/favicon.png"
LINK = re.compile(r"(\]\()(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?(\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the root's pages, and dbt's docs."""
    for name, page in ROOT_PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / name)))
    # dbt's page asks for two files that are not there: an icon, and names not yet filled in.
    dbt = re.sub('(?<=rel="shortcut icon" href=").*?(?="/>)', ICON, DBT_DOCS.read_text("utf-8"))
    dbt = dbt.replace('<use xlink:href="{{', '<use ng-attr-xlink:href="{{')
    files.append(File.generated(config, "dbt/index.html", content=dbt))
    return files


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:  # noqa: ARG001
    """Adds dbt's docs to the first section: they are no page with a title of its own."""
    section = next(item for item in nav.items if isinstance(item, Section))
    section.children.append(Link("Marts and columns", "dbt/"))
    return nav


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Points links that are right in the repository at the site's pages, or at the code.

    Raises `PluginError` for a link to a file that does not exist.
    """
    source = Path(str(page.file.abs_src_path)).parent.relative_to(ROOT)

    def pointed(match: re.Match[str]) -> str:
        before, target, anchor, after = match.groups(default="")
        path = posixpath.normpath(posixpath.join(source.as_posix(), target))
        if not (ROOT / path).exists():
            raise PluginError(f"{page.file.src_uri} links to {target}, which does not exist")
        inside = ROOT_PAGES.get(path) or path.removeprefix("docs/")
        if (path.startswith("docs/") or path in ROOT_PAGES) and files.get_file_from_path(inside):
            start = posixpath.dirname(page.file.src_uri) or "."
            return f"{before}{posixpath.relpath(inside, start)}{anchor}{after}"
        return f"{before}{config.extra['repository']}{path}{anchor}{after}"

    return LINK.sub(pointed, markdown)
