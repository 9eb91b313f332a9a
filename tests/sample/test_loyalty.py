"""The loyalty sample: the exact format of the real lines, and a consistent funnel."""

import csv
import re

import pytest

from sample.errors import SampleError
from sample.generate import generate
from sample.loyalty import generate_loyalty
from sample.loyalty.seeds import write_seeds
from sample.seeds import WRITERS
from tests.conftest import PROJECT_DIR
from tests.sample.support import assert_seeds_are_committed, hashes

FILES = {
    "LoyaltyList.txt",
    "ClickConversion.txt",
    "BasketConversion.txt",
    "PurchaseConversion.txt",
}
# Names that are kept free for examples (RFC 2606), so that no address is anyone's.
EMAIL = r"[A-Za-z0-9._]+@(?:[a-z]+\.example|(?:[a-z]+\.)?example\.(?:com|net|org))"
NAME = r"[a-z0-9_.]*"
ITEMS = r"\[\d+(?:;\d+)*\]"
LINES = {
    "LoyaltyList.txt": rf"{EMAIL}, {NAME}, {NAME}, (?:, )?[FM]",
    "ClickConversion.txt": rf"\w+, ClickConversion, {EMAIL}, (?:Instagram|Facebook)",
    "BasketConversion.txt": rf"\w+, BasketConversion, {EMAIL}, {ITEMS}",
    "PurchaseConversion.txt": rf"\w+, PurchaseConversion, {EMAIL}, {ITEMS}, \d+\.\d\d",
}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    return folder, generate_loyalty(folder, scale=0.5)


@pytest.fixture(scope="module")
def lines(sample):
    return {
        name: [line.split(", ") for line in (sample[0] / name).read_text().split("\n")]
        for name in FILES
    }


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    return folder, write_seeds(folder)


@pytest.fixture(scope="module")
def listed(lines):
    return {fields[0].lower() for fields in lines["LoyaltyList.txt"]}


def emails(lines, name):
    return [fields[2].lower() for fields in lines[name]]


# --- form ---


def test_the_same_bytes_for_the_same_scale_and_seed(tmp_path):
    for name, scale, seed in (("a", 0.02, 1), ("b", 0.02, 1), ("c", 0.02, 2), ("d", 0.04, 1)):
        generate("loyalty", tmp_path / name, scale=scale, seed=seed)
    same, other_seed, other_scale = (hashes(tmp_path / name) for name in "bcd")
    assert hashes(tmp_path / "a") == same
    for name, digest in same.items():
        assert digest != other_seed[name], name
        assert digest != other_scale[name], name


@pytest.mark.parametrize("scale", [1e-9, 0.01])
def test_small_samples_have_lines_in_every_file(tmp_path, scale):
    rows = generate_loyalty(tmp_path, scale=scale)
    assert set(rows) == FILES
    assert min(rows.values()) > 0


@pytest.mark.parametrize("name", sorted(FILES))
def test_lines_have_the_real_format(sample, name):
    folder, rows = sample
    text = (folder / name).read_text(encoding="utf-8")
    assert not text.endswith("\n")
    found = text.split("\n")
    assert len(found) == rows[name]
    assert [line for line in found if not re.fullmatch(LINES[name], line)] == []


def test_a_scale_or_seed_out_of_range_is_refused(tmp_path):
    with pytest.raises(SampleError, match="scale must be above 0"):
        generate_loyalty(tmp_path, scale=0)
    with pytest.raises(SampleError, match="seed must be 0 or above"):
        generate_loyalty(tmp_path, seed=-1)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "LoyaltyList.txt").mkdir()
    with pytest.raises(SampleError, match="cannot write"):
        generate_loyalty(tmp_path, scale=0.01)


def test_only_household_has_promotion_rows(tmp_path):
    with pytest.raises(SampleError, match="loyalty has no promotion rows"):
        generate("loyalty", tmp_path, scale=0.01, seed=1, causal=True)


# --- the list ---


def test_the_list_has_members_by_scale_and_its_oddities(lines, listed):
    members = lines["LoyaltyList.txt"]
    assert len(listed) == 2500
    assert 0 < len(members) - len(listed) < 10
    five = [fields for fields in members if len(fields) == 5]
    assert 0 < len(five) < 10
    assert {fields[-1] for fields in members} == {"F", "M"}
    for field in (1, 2):
        blank = sum(fields[field] == "" for fields in members) / len(members)
        assert 0.2 < blank < 0.6


@pytest.mark.parametrize("name", sorted(FILES))
def test_some_addresses_are_in_upper_case(lines, name):
    place = 0 if name == "LoyaltyList.txt" else 2
    upper = sum(fields[place] != fields[place].lower() for fields in lines[name])
    assert 0 < upper < 0.2 * len(lines[name])


def test_an_address_is_one_persons(lines):
    """Members by list with a username have one that no other member has."""
    of_user = {}
    for fields in lines["LoyaltyList.txt"]:
        if fields[1]:
            of_user.setdefault(fields[1], set()).add(fields[0].lower())
    assert {len(addresses) for addresses in of_user.values()} == {1}


# --- the funnel ---


def test_several_promotions_in_every_file(lines):
    promotions = {fields[0] for fields in lines["ClickConversion.txt"]}
    assert len(promotions) > 3
    for name in ("BasketConversion.txt", "PurchaseConversion.txt"):
        assert {fields[0] for fields in lines[name]} == promotions


@pytest.mark.parametrize("name", sorted(FILES - {"LoyaltyList.txt"}))
def test_members_and_strangers_convert(lines, listed, name):
    people = set(emails(lines, name))
    assert people & listed
    assert people - listed


def test_what_is_bought_was_in_a_basket(lines):
    baskets = {(one[0], one[2].lower(), one[3]) for one in lines["BasketConversion.txt"]}
    bought = [(one[0], one[2].lower(), one[3]) for one in lines["PurchaseConversion.txt"]]
    assert set(bought) <= baskets
    assert len(set(bought)) == len(bought)


def test_some_put_into_a_basket_what_they_never_clicked(lines):
    clicked = {(one[0], one[2].lower()) for one in lines["ClickConversion.txt"]}
    filled = {(one[0], one[2].lower()) for one in lines["BasketConversion.txt"]}
    assert 0 < len(filled - clicked) < len(filled) / 4


def test_fewer_at_every_step(lines):
    steps = [
        len({(one[0], one[2].lower()) for one in lines[f"{step}Conversion.txt"]})
        for step in ("Click", "Basket", "Purchase")
    ]
    assert steps[0] > 1.5 * steps[1] > 1.5 * 1.5 * steps[2] > 0


def test_some_click_on_both_channels(lines):
    channels = {}
    for promotion, _, email, channel in lines["ClickConversion.txt"]:
        channels.setdefault((promotion, email.lower()), set()).add(channel)
    both = sum(len(used) == 2 for used in channels.values())
    assert 0 < both < 0.1 * len(channels)


def test_members_who_clicked_pay_less(lines, listed):
    """A basket of the promoted item alone costs two prices: with the extra code, and without."""
    clicked = {(one[0], one[2].lower()) for one in lines["ClickConversion.txt"]}
    paid = {}
    for promotion, _, email, items, total in lines["PurchaseConversion.txt"]:
        if ";" not in items:
            has_code = email.lower() in listed and (promotion, email.lower()) in clicked
            paid.setdefault((promotion, has_code), set()).add(float(total))
    for promotion in {promotion for promotion, _ in paid}:
        (less,), (more,) = paid[promotion, True], paid[promotion, False]
        assert less == pytest.approx(more * 0.8 / 0.9, abs=0.01)


# --- seeds ---


def test_committed_seeds_are_current(seeds):
    names = ["raw_loyalty__conversions.csv", "raw_loyalty__loyalty_list.csv"]
    assert_seeds_are_committed(seeds, names)


def test_seeds_have_one_column(seeds):
    folder, rows = seeds
    for name, count in rows.items():
        with (folder / name).open(encoding="utf-8", newline="") as file:
            found = list(csv.reader(file))
        assert found[0] == ["line"]
        assert {len(row) for row in found} == {1}
        assert len(found) == count + 1 < 300


def test_seeds_hold_every_reason_to_drop_a_line(seeds):
    folder, _ = seeds
    text = (folder / "raw_loyalty__conversions.csv").read_text()
    for pattern in (
        r"^ $",
        r'^", ClickConversion',
        r"ViewConversion",
        r"Conversion, , Facebook",
        r'Conversion, [^,]+"$',
        r"\], [a-z]+",
    ):
        assert re.search(pattern, text, re.MULTILINE), pattern
    members = (folder / "raw_loyalty__loyalty_list.csv").read_text().splitlines()
    assert " " in members
    assert any(line.startswith('", ') for line in members)
    addresses = [line.strip('"').split(",")[0].lower() for line in members]
    assert any(addresses.count(address) > 1 for address in addresses if "@" in address)


def test_the_seeds_of_all_domains_are_small():
    size = 0
    for domain in WRITERS:
        files = list((PROJECT_DIR / "seeds").glob(f"raw_{domain}__*.csv"))
        assert files, domain
        size += sum(path.stat().st_size for path in files)
    assert size < 1 << 20
