"""Recommended products as they are shown on the pages of a household and of recommendations."""

from typing import Any

from services.dashboard import data, words

KINDS = {"repeat": "buys again", "new": "new to it"}


def recommended(
    household: int, count: int, *, etag: str = "", **parameters: str
) -> list[dict[str, Any]]:
    """The likeliest products of a household's next basket; none where none are known."""
    path = f"/v1/households/{household}/recommendations"
    found = data.find_rows(path, etag, k=count, **parameters)
    return [
        dict(row)
        | {
            "product": words.in_words(row["sub_commodity"] or row["commodity"] or "?"),
            "kind": KINDS[row["kind"]],
            "reason": words.sentence(row["reason"]),
        }
        for row in found
    ]
