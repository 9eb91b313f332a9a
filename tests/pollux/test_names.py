"""What is said of a name that nothing has."""

from pollux.names import no_such_name


def test_of_many_names_some_are_told() -> None:
    known = [f"country {number:02d}" for number in range(23)]
    told = no_such_name("country_code", "Atlantis", known)
    assert told.startswith("No country_code is called 'Atlantis'; there are: country 00, ")
    assert told.endswith(", country 19 and 3 more.")


def test_what_was_asked_is_repeated_in_part_only() -> None:
    assert len(no_such_name("email", "x" * 10_000, ["a@example.org"])) < 200
