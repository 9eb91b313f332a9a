"""Which columns hold personal data: what the models' YAML says, and which names look like it.

A column's `config.meta` says `personal: true` where its value alone tells who a person is or
describes one: ids, ways to reach somebody, traits such as age or income. What somebody did (sales,
visits, scores) is about a person only through such a column of the same row, and is not marked.
`identifies` says whose id the value is, or for a text line, holds.

Belongs here: the kinds of subjects, and the judgement by name. Does not belong here: reading YAML
(`orchestration.transform`), and what is done with the property.
"""

from collections.abc import Mapping
from typing import Any

SUBJECTS = ("household", "customer", "member", "account")

# What is shown in place of a value.
MASKED = "(personal)"

# Parts of names between underscores. Ways to reach a person, and names, also on other networks.
_CONTACTS = (
    "email mail name firstname lastname surname phone telephone tel mobile fax address street city "
    "zip zipcode postcode postal ip user username login handle facebook fb instagram insta"
)
# What is true of few people, and by which a person is found in other data. An IBAN or a card's
# number is both.
_TRAITS = (
    "birth birthday birthdate dob age gender sex marital income kid kids child children homeowner "
    "occupier nationality religion ethnicity card iban passport ssn"
)
_WORDS = frozenset((_CONTACTS + " " + _TRAITS).split())
_OWNERS = (*SUBJECTS, "person", "user", "shopper", "hh")
_IDS = frozenset(f"{owner}_{id_}" for owner in _OWNERS for id_ in ("id", "key", "number", "no"))
_PHRASES = (
    *_IDS,
    *(f"{owner}_{trait}" for owner in _OWNERS for trait in ("size", "comp", "composition")),
)


def looks_personal(column: str) -> bool:
    """Whether a column of this name probably holds personal data."""
    name = f"_{column.lower()}_"
    return not _WORDS.isdisjoint(name.split("_")) or any(f"_{part}_" in name for part in _PHRASES)


def is_personal(column: str, meta: Mapping[str, Any]) -> bool:
    """Whether a column holds personal data: as its `config.meta` says, else by its name."""
    return bool(meta.get("personal", looks_personal(column)))


def looks_identifying(column: str) -> bool:
    """Whether a column of this name probably holds the id of a subject."""
    name = f"_{column.lower()}_"
    return any(f"_{part}_" in name for part in _IDS)
