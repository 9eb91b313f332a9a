"""Three engines read one text of each model: forms that they read differently are refused."""

import re

import pytest
import yaml

from tests.conftest import PROJECT_DIR

RULE = "check_model_code_does_not_contain_regexp_pattern"
BARE = {
    "type text": "select cast(a as text) as a",
    "type double precision": "select cast(a as double precision) as a",
    "type double": "select cast(a as double) as a",
    "cast by colons": "select a::bigint as a",
    "pattern by tilde": "select a ~ '^[0-9]+$' as is_number",
    "pattern by similar to": "select a similar to '[0-9]+' as is_number",
    "pattern by rlike": "select a rlike '[0-9]+' as is_number",
    "place by strpos": "select strpos(a, '@') as place",
    "place by instr": "select instr(a, '@') as place",
    "trim with two arguments": "select trim(a, ';') as a",
    "name in quotes": 'select a as "B"',
    "column in quotes": 'select sales."B" as b',
    "whole quotient by function": "select div(a, b) as c",
    "whole quotient by word": "select a div b as c",
    "whole quotient by slashes": "select a // b as c",
    "quotient": "select a / b as c",
    "array": "select array[0.2, 0.4] as bounds",
    "item of an array": "select bounds[1] as bound",
    "finite": "select isfinite(a) as is_finite",
    "normal form": "select normalize(a, nfc) as a",
    "bytes": "select octet_length(a) as a",
    "bits": "select bit_count(a) as a",
    "window over all rows": "select row_number() over (order by a) as n",
    "sum of all rows": "select sum(a) over () as total",
}
COMMON = """
select
    {{ as_text("a") }} as a,
    {{ matches("a", "[0-9]+") }} as is_number,
    position('@' in a) as place,
    sales.{{ adapter.quote("B") }} as b,
    "case when a = '" ~ section ~ "' then sales." ~ section,
    row_number() over (partition by a order by b) as n,
    sum(total) over up_to_the_end as total
from sales
"""


def refusing(sql: str) -> list[str]:
    """The patterns that refuse a text, as `make check` looks for them."""
    checks = yaml.safe_load((PROJECT_DIR / "dbt-bouncer.yml").read_text())["manifest_checks"]
    patterns = [check["regexp_pattern"] for check in checks if check["name"] == RULE]
    return [one for one in patterns if re.match(one, sql, flags=re.DOTALL)]


@pytest.mark.parametrize("sql", BARE.values(), ids=BARE)
def test_a_bare_form_is_refused(sql: str) -> None:
    assert refusing(sql)


def test_the_common_form_is_taken() -> None:
    assert refusing(COMMON) == []


def test_tests_of_the_data_are_one_text_too() -> None:
    files = sorted((PROJECT_DIR / "tests/dbt").glob("*.sql"))
    assert files
    assert {file.name: found for file in files if (found := refusing(file.read_text()))} == {}


def test_no_text_asks_for_its_engine() -> None:
    """What differs is in macros, by adapter.dispatch."""
    files = [*PROJECT_DIR.glob("models/**/*.sql"), *PROJECT_DIR.glob("tests/dbt/**/*.sql")]
    assert [file.name for file in files if "target." in file.read_text()] == []
