"""Whose window an installation keeps."""

from pathlib import Path

import pytest

from orchestration.load.run import load
from orchestration.transform.dbt import dbt_environment
from orchestration.transform.record import rules_of
from orchestration.transform.study import study_of
from pollux.runtime.settings import Settings

CAMPAIGNS = "DESCRIPTION,CAMPAIGN,START_DAY,END_DAY\nTypeA,1,2026-11-01,7000\n"


@pytest.mark.parametrize(
    ("is_sample", "asked", "study"),
    [
        (True, "", "complete_journey"),
        (False, "", ""),
        (False, "complete_journey", "complete_journey"),
        (True, "another", "another"),
    ],
)
def test_the_sample_keeps_the_study_of_the_published_data(
    tmp_path: Path, is_sample: bool, asked: str, study: str
) -> None:
    settings = Settings(data_dir=tmp_path / "data", study=asked)
    (tmp_path / "campaign_desc.csv").write_text(CAMPAIGNS)
    load(settings, domain="household", from_=tmp_path / "campaign_desc.csv", sample=is_sample)
    assert study_of(settings) == study
    assert dbt_environment(settings, None)["POLLUX_STUDY"] == study


def test_another_window_makes_builds_due(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    other = settings.model_copy(update={"study": "complete_journey"})
    assert rules_of(settings, "household") != rules_of(other, "household")
    assert rules_of(settings, "store") == rules_of(other, "store")
