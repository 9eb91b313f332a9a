"""Tests, in the folders of the code; `unit`, `integration` and `endurance` are markers."""

import pytest

# What shared helpers assert is explained as in a test.
pytest.register_assert_rewrite(
    "tests.support", "tests.sample.support", "tests.services.api.support"
)
