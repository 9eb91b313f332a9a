"""The way in: the loyalty domain's four files at a scale.

Belongs here: how many people a scale has, and which lines go into which file. Does not belong here:
making the lines (`club`, `promotions`), and how files are written (`sample.files`).
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from sample.asked import check_scale_and_seed, make_folder
from sample.files import write_lines
from sample.loyalty.club import CHUNK, Person, list_lines, people
from sample.loyalty.promotions import PROMOTIONS, Conversions, conversions

MEMBERS = 5000
_STRANGERS_PER_MEMBER = 0.4
_PEOPLE_AT_LEAST = 25  # so few that every file has lines


def generate_loyalty(
    to: Path,
    *,
    scale: float = 1.0,
    seed: int = 1,
    progress: Callable[[str], None] | None = None,
) -> dict[str, int]:
    """Write the loyalty list and the conversions to a folder; return lines by file name.

    Scale 1 has 5,000 members and six promotions, in which some 2,000 strangers also see the ads;
    another scale (above 0, up to 100) has people in proportion. The same arguments give the same
    bytes. `progress` is told of each step begun.

    Raises `SampleError` for a scale or seed out of range, or a folder that cannot be written.
    """
    check_scale_and_seed(scale, seed)
    make_folder(to)
    say = progress or (lambda _: None)
    say("inviting members and strangers")
    club = make_club(seed, max(round(MEMBERS * scale), _PEOPLE_AT_LEAST))
    members = [person for chunk in club for person in chunk if person.is_member]
    say("running promotions")
    done = run_promotions(seed, club)
    rows: dict[str, int] = {}

    def write(name: str, lines: Iterable[str]) -> None:
        say(f"writing {name}")
        rows[name] = write_lines(to / name, lines)

    write("LoyaltyList.txt", list_lines(members))
    write("ClickConversion.txt", (line for part in done for line in part.clicks))
    write("BasketConversion.txt", (line for part in done for line in part.baskets))
    write("PurchaseConversion.txt", (line for part in done for line in part.purchases))
    return rows


def make_club(seed: int, members: int) -> list[list[Person]]:
    """Members and strangers in chunks."""
    everyone = members + round(members * _STRANGERS_PER_MEMBER)
    club = []
    for chunk, start in enumerate(range(0, everyone, CHUNK)):
        count = min(CHUNK, everyone - start)
        on_list = round(count * members / everyone)
        club.append(people(seed, chunk, count, on_list))
    return club


def run_promotions(seed: int, club: list[list[Person]]) -> list[Conversions]:
    """One promotion after the other, each over all chunks of people."""
    return [
        conversions(seed, promotion, chunk, part)
        for promotion in range(len(PROMOTIONS))
        for chunk, part in enumerate(club)
    ]
