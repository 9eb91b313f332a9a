"""Pages of notebooks: cells are told apart, and a page has what each of them answers."""

from pathlib import Path

import pytest

from docs import notebook_pages
from docs.notebook_pages import CELL, TEXT, read_cells, write_pages

NOTEBOOK = """# ---
# jupyter: a header
# ---

# %% [markdown]
# # Title
#
# See [more](../docs/more.md).

# %%
import matplotlib.pyplot as plt
import pandas as pd

amount = 40
# A comment of the code.

# %%
amount + 2

# %%
pd.DataFrame({"amount": [amount]}, index=["first"])

# %%
figure, axes = plt.subplots()
axes.set_title("A picture", loc="left")
plt.show()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of notebooks with one."""
    monkeypatch.setattr(notebook_pages, "NOTEBOOKS", tmp_path)
    (tmp_path / "some.py").write_text(NOTEBOOK)
    return tmp_path


def test_cells_are_told_apart() -> None:
    kinds, texts = zip(*read_cells(NOTEBOOK), strict=True)
    assert kinds == (TEXT, CELL, CELL, CELL, CELL)
    assert texts[0] == "# Title\n\nSee [more](../more.md)."
    assert texts[1].endswith("amount = 40\n# A comment of the code.")


def test_page_has_values_tables_and_pictures(folder: Path) -> None:
    write_pages(folder / "pages")
    page = (folder / "pages" / "some.md").read_text()
    parts = [
        "# Title",
        "import pandas as pd",
        "```text\n42\n```",
        "<td>40</td>",
        "![A picture](some-1.svg)",
        "[notebooks/some.py](../../notebooks/some.py)",
    ]
    assert [part for part in parts if part not in page] == []
    assert sorted(parts, key=page.index) == parts
    assert "A picture" in (folder / "pages" / "some-1.svg").read_text()


def test_a_cell_that_fails_ends_it(folder: Path) -> None:
    (folder / "some.py").write_text("# %%\n1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        write_pages(folder / "pages")
