"""Writes an evaluation: a page and plots, which keep other protocols' results, and a CSV file.

The file has the results of each customer (`Evaluation.by_customer`).
"""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.csv as pc

from orchestration.learn.recommend.evaluate import OURS, Evaluation
from orchestration.learn.recommend.metrics import K

STEM = "recommend-evaluation"
PAGE, DATA = f"{STEM}.md", f"{STEM}.json"
COLUMNS = ("repeat recall", "new recall", "gain in recall", "gain in NDCG")
TITLES = {
    "household": "Dated baskets: the household data",
    "tafeng": "Ordered baskets: Ta-Feng",
    "own": "Baskets of your own",
}
PUBLISHED = {
    "household": (
        "Published on the complete real data, recall@10 / NDCG@10: popularity .0904 / .0795, "
        "personal frequency .1577 / .1490, TIFU-kNN .1653 / .1613, UP-CF@r .1663 / .1600, "
        "SLRC .1727 / .1675, time-aware item weighting .1791 / .1713. Figures on a generated "
        "sample are no match for them: compare within the table."
    ),
    "tafeng": (
        "Known of this file, recall@10 / NDCG@10: popularity .0803 / .0842, personal frequency "
        ".1062 / .0953, both combined .1195 / .1007."
    ),
    "own": "The last basket of each user with at least 3 is the test.",
}


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Writes plot and customers of a protocol, and the page of all; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / DATA
    known: dict[str, Any] = json.loads(data.read_text()) if data.exists() else {}
    found = asdict(evaluation) | {"date": f"{datetime.now(UTC):%Y-%m-%d}"}
    pc.write_csv(found.pop("by_customer"), folder / f"{STEM}-{evaluation.protocol}-customers.csv")
    known[evaluation.protocol] = found
    data.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    _plot(evaluation, folder / f"{STEM}-{evaluation.protocol}.svg")
    sections = [_section(name, known[name]) for name in TITLES if name in known]
    page = folder / PAGE
    page.write_text("\n".join([_HEAD, *sections]), encoding="utf-8")
    return page


_HEAD = f"""# How good the recommendations are

Written by `pollux evaluate recommend`. The last basket of each customer is the test, the one
before it the validation basket on which hyperparameters were chosen, ours and TIFU-kNN's; then
everything is fitted again with the validation baskets. Recall@{K} = hits ÷ basket size. NDCG@{K}
has the whole basket in its ideal. Both are means over customers, with 95 % bootstrap intervals
(customers drawn again, 1,000 times). The gain is {OURS} minus the method, paired by customer:
where its interval is above 0, {OURS} is better. Repeat recall counts the items of a basket that
the customer had bought before, new recall the others. `{STEM}-…-customers.csv` has what each method
reached for each customer. `make bench` has Cornac, an independent library, measure these methods.
"""


def _section(name: str, found: dict[str, Any]) -> str:
    size = f"{found['customers']:,} customers, {found['items']:,} items"
    size += f", {found['baskets']:,} baskets"
    lines = [
        f"## {TITLES[name]}\n",
        f"{size}; run on {found['date']}. {PUBLISHED[name]}\n",
        _row("method", f"recall@{K}", f"NDCG@{K}", *COLUMNS),
        "| --- | --- | --- | ---: | ---: | --- | --- |",
    ]
    for row in found["rows"]:
        cells = [_interval(row["recall"]), _interval(row["ndcg"])]
        cells += [f"{row['repeat_recall']:.4f}", f"{row['new_recall']:.4f}"]
        cells += [_interval(row["gain_recall"]), _interval(row["gain_ndcg"])]
        lines.append(_row(row["method"], *cells))
    chosen = ", ".join(f"{key} {value}" for key, value in found["chosen"].items())
    tifu = ", ".join(f"{key} {value}" for key, value in found["chosen_tifu"].items())
    quickly = " quickly, on few customers (`--quick`)" if found.get("is_quick") else ""
    lines += [
        f"\n![Recall and NDCG with intervals]({STEM}-{name}.svg)\n",
        f"Chosen{quickly}: {chosen}. TIFU-kNN: {tifu}.\n",
        f"Fit and score of all: {found['fit_seconds']:.1f} s; peak {found['peak_mib']:,.0f} MiB.\n",
    ]
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _interval(found: dict[str, float] | None) -> str:
    if found is None:
        return ""
    return f"{found['mean']:.4f} ({found['low']:.4f} to {found['high']:.4f})"


def _plot(evaluation: Evaluation, path: Path) -> None:
    # Slow to import, and only the report draws.
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "pollux"
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True, layout="constrained")
    names = [row.method for row in evaluation.rows]
    for axis, measure in zip(axes, ("recall", "ndcg"), strict=True):
        found = [getattr(row, measure) for row in evaluation.rows]
        means = [one.mean for one in found]
        errors = [
            [one.mean - one.low for one in found],
            [one.high - one.mean for one in found],
        ]
        colours = ["#1f6f8b" if name == OURS else "#9aa5ab" for name in names]
        axis.barh(names, means, xerr=errors, color=colours, ecolor="#333333")
        axis.invert_yaxis()
        axis.set_title(f"{'Recall' if measure == 'recall' else 'NDCG'}@{K}")
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
