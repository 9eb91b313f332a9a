"""How the examples of pages are read and compared; that they run is tested where all is up.

(`tests/cli/test_up.py` runs those of every page on the sample that `pollux up` makes.)
"""

import os
from pathlib import Path

import pytest

from tests.support.examples import (
    DEFAULT_PORTS,
    PAGES,
    ExampleError,
    Place,
    check,
    matches,
    read_examples,
    read_page,
    read_session,
)

# Nothing listens at the port of its API.
PLACE = Place(
    Path(os.devnull),
    {**DEFAULT_PORTS, "API": 1},
    is_default=True,
    output="starting\n✓ learn  2 trees  5.9 s\nready\n",
)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_is_run_or_says_why_not(page: str) -> None:
    examples = read_page(page)
    assert [one for one in examples if one.kind != "shown only"]
    assert all(one.reason for one in examples if one.kind == "shown only")


def run(markdown: str) -> None:
    (example,) = read_examples("page.md", markdown)
    check(example, PLACE)


@pytest.mark.parametrize(
    "markdown",
    [
        "    echo one\n    test 1 = 1    # and more",
        "```sh\necho one\n```",
        '    $ echo \'{"a": 1,\n      "b": 2.5}\'\n    {"a":1,\n     …}\n    $ printf two\n    two',
        "    $ echo took 12.7 ms\n    took 3,012 ms",
        "    from math import floor\n    floor(2.5)       # 2\n    floor(3)   # a whole number",
        "```python\n[1, 2]    # [1, 2]\n```",
        "<!-- example: shown only, there is no such command -->\n\n    nothing-of-the-kind",
        "<!-- example: printed by pollux up -->\n\n    ✓ learn 110 trees 7.1 s",
    ],
)
def test_an_example_that_works(markdown: str) -> None:
    run(markdown)


@pytest.mark.parametrize(
    ("markdown", "message"),
    [
        ("    nothing-of-the-kind", "page.md:1 ended with 127"),
        ("text\n\n    false\n    echo one", "page.md:3 ended with 1"),
        ("    $ false\n    $ echo one\n    one", "ended with 1"),
        ("    $ echo one\n    two", "page.md:1 shows\ntwo\n\nbut the answer is\none"),
        ("    $ echo one\n    on", "shows\non\n"),
        ("    $ exit 3\n    $ echo one", "ended with 3"),
        ("    from math import floor\n    floor(2.5)  # 3", "shows 3, but it is 2"),
        ("    listener 8883\n    cafile /etc/ca.pem", "ended with 127"),
        ("```ini\na = 1\n```", "a block of ini must be declared as shown only"),
        ("<!-- example: shown only -->\n\n    true", "'shown only' declares nothing"),
        ("<!-- example: shwon only, because -->\n\n    true", "declares nothing"),
        ("<!-- example: slow -->\n\ntext", "page.md:1: no block follows this declaration"),
        ("<!-- example: printed by pollux up -->\n\n    2 leaves", "0 leaves…\n\nbut the answer"),
        ("    $ curl -s localhost:8000\n    []", "ended with 7"),
    ],
)
def test_an_example_that_does_not_work(markdown: str, message: str) -> None:
    with pytest.raises(ExampleError) as raised:
        run(markdown)
    assert message in str(raised.value)


def test_a_command_goes_on_while_the_shell_waits_for_more() -> None:
    text = '$ curl -d \'{\n    "a": 1}\' \\\n    localhost\n{"b": 2}\n\n$ pollux status'
    assert read_session(text) == [
        ("curl -d '{\n    \"a\": 1}' \\\n    localhost", '{"b": 2}'),
        ("pollux status", ""),
    ]


def test_an_answer_is_compared_but_for_blanks_and_what_varies() -> None:
    assert matches('{"a":1,…,"z":2}', '{"a": 1, "b": {"c": 3}, "z": 2}\n')
    assert matches("…", "")
    assert not matches('{"a":1}', '{"a":10}')
    assert not matches('{"a":1,…}', '{"a":1')
    assert not matches("12.7 ms", "12.7 m")
    other = '{"a":"it is","b":[-2.5,null,{"c":true}],"d":""}'
    assert matches('{"a":"…","b":[1,…,{"c":false}],"d":"x"}', other, has_values=False)
    assert not matches('{"a":"…","b":[1,…,{"c":false}],"e":"x"}', other, has_values=False)
    assert not matches('{"b":1,"a":2}', '{"a":1,"b":2}', has_values=False)
