"""People around a fan club of marsupials: members on the list, and strangers.

Belongs here: the people, how they spell their addresses, and the lines of the loyalty list. Does
not belong here: what people do in promotions (`promotions`), and how many there are (`generate`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from sample.chance import generator


class Purpose(IntEnum):
    """What a stream of random numbers is for; the numbers keep streams apart for good."""

    PEOPLE = 151
    PROMOTIONS = 152


CHUNK = 10_000

_ANIMALS = ("bilby", "bandicoot", "dunnart", "numbat", "quoll", "pademelon", "quokka", "potoroo",
            "bettong", "glider", "possum", "cuscus", "planigale", "phascogale", "wambenger",
            "ningaui")  # fmt: skip
_MOODS = ("sleepy", "dusty", "hopping", "velvet", "midnight", "sandy", "nimble", "bouncy", "mossy",
          "cheeky", "golden", "quiet", "spotted", "curious")  # fmt: skip
_ENDS = ("fan", "friend", "watcher", "club", "lover", "tracks")
# Reserved for examples: nobody can own these.
_HOSTS = ("mail.example", "fanmail.example", "post.example", "burrow.example.org",
          "example.com", "example.net")  # fmt: skip
_STYLES = ("{mood}.{animal}", "{animal}{end}", "{mood}{animal}_{end}", "{animal}.{end}")

_NO_FACEBOOK, _NO_INSTAGRAM = 0.45, 0.35
_UPPER_CASE = 0.04
_FEMALE = 0.56
_FIFTH_FIELD_EVERY = 1000
_FIFTH_FIELD_PLACE = 20
_REPEATED_EVERY = 700
_REPEATED_PLACE = 40


@dataclass(frozen=True)
class Person:
    """Someone with an address; usernames may be blank."""

    email: str
    facebook: str
    instagram: str
    gender: str
    is_member: bool


def people(seed: int, chunk: int, count: int, members: int) -> list[Person]:
    """A chunk of people, the first `members` of them on the list; no address comes twice."""
    random = generator(seed, Purpose.PEOPLE, chunk)
    parts = [random.integers(0, len(words), count) for words in (_ANIMALS, _MOODS, _ENDS)]
    styles = random.integers(0, len(_STYLES), count)
    hosts = random.integers(0, len(_HOSTS), count)
    draws = random.random((count, 4))
    found = []
    for place in range(count):
        animal, mood, end = (
            words[int(part[place])]
            for words, part in zip((_ANIMALS, _MOODS, _ENDS), parts, strict=True)
        )
        name = _STYLES[styles[place]].format(animal=animal, mood=mood, end=end)
        number = chunk * CHUNK + place + 1
        email = f"{name}{number}@{_HOSTS[hosts[place]]}"
        facebook, instagram, gender, upper = draws[place].tolist()
        found.append(
            Person(
                email=_shout(email) if upper < _UPPER_CASE else email,
                facebook="" if facebook < _NO_FACEBOOK else f"{name}{number}",
                instagram="" if instagram < _NO_INSTAGRAM else f"{animal}_{number}",
                gender="F" if gender < _FEMALE else "M",
                is_member=place < members,
            )
        )
    return found


def list_lines(members: list[Person]) -> Iterator[str]:
    """Lines of the loyalty list; a few have a field too many or repeat a member."""
    for place, member in enumerate(members):
        fields = [member.email, member.facebook, member.instagram, member.gender]
        if place % _FIFTH_FIELD_EVERY == _FIFTH_FIELD_PLACE:
            fields = [member.email, "", "", "", member.gender]
        yield ", ".join(fields)
        if place % _REPEATED_EVERY == _REPEATED_PLACE:
            yield ", ".join(fields)


def other_spelling(email: str, draw: float) -> str:
    """The address as its owner sometimes types it."""
    return _shout(email) if draw < _UPPER_CASE else email


def _shout(email: str) -> str:
    name, _, host = email.partition("@")
    return f"{name.upper()}@{host}"
