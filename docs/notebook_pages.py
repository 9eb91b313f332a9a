"""docs/notebooks/ from notebooks/: `python -m docs.notebook_pages docs/notebooks`.

Runs each notebook cell by cell, as Jupyter does, on the installation that is up. A page has its
text and code, what the last expression of a cell is, and the pictures that a cell drew.
"""

import ast
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
CELL, TEXT = "# %%", "# %% [markdown]"


def write_pages(to: Path) -> None:
    """Writes a page of each notebook and its pictures into a folder."""
    mpl.use("agg")
    to = to.resolve()
    to.mkdir(exist_ok=True)
    with chdir(NOTEBOOKS):
        for notebook in sorted(NOTEBOOKS.glob("*.py")):
            page = "\n\n".join(_run(notebook, to))
            (to / f"{notebook.stem}.md").write_text(page + "\n", encoding="utf-8")


def _run(notebook: Path, to: Path) -> Iterator[str]:
    """The parts of a notebook's page; its pictures are in the folder."""
    names: dict[str, Any] = {}
    pictures = 0
    for kind, text in read_cells(notebook.read_text(encoding="utf-8")):
        if kind == TEXT:
            yield text
            continue
        yield f"```python\n{text}\n```"
        value = _value(text, names)
        if value is not None:
            yield _shown(value)
        for number in plt.get_fignums():
            figure = plt.figure(number)
            pictures += 1
            picture = to / f"{notebook.stem}-{pictures}.svg"
            figure.savefig(picture, metadata={"Date": None, "Creator": None})
            plt.close(figure)
            yield f"![{figure.axes[0].get_title(loc='left')}]({picture.name})"
    source = f"[notebooks/{notebook.name}](../../notebooks/{notebook.name})"
    yield f"This page is {source}, run on the sample."


def read_cells(notebook: str) -> Iterator[tuple[str, str]]:
    """The cells of a notebook in jupytext's percent format: `CELL` and code, or `TEXT` and text."""
    cells: list[tuple[str, list[str]]] = []
    for line in notebook.splitlines():
        if line in (CELL, TEXT):
            cells.append((line, []))
        elif cells:
            kind, lines = cells[-1]
            lines.append(line.removeprefix("#").removeprefix(" ") if kind == TEXT else line)
    for kind, lines in cells:
        # A page of the site and a notebook are as far from docs/ as each other.
        yield kind, "\n".join(lines).strip().replace("](../docs/", "](../")


def _value(code: str, names: dict[str, Any]) -> object:
    """Runs a cell; returns what its last expression is, if it ends with one."""
    *before, last = ast.parse(code).body
    if not isinstance(last, ast.Expr):
        before, last = [*before, last], None
    exec(compile(ast.Module(before, []), "<cell>", "exec"), names)  # noqa: S102 - our own
    return last and eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)  # noqa: S307


def _shown(value: Any) -> str:  # noqa: ANN401 - whatever a cell ends with
    if hasattr(value, "to_html"):
        # Without a class it looks like the site's own tables.
        return str(value.to_html(border=0)).replace(' class="dataframe"', "")
    return f"```text\n{value!r}\n```"


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
