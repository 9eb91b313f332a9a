"""Which window household analytics look at: a study's, or the one that moves on with the data."""

from orchestration.load.landing import is_sample
from pollux.runtime.settings import Settings

# The sample is made after this study.
SAMPLE_STUDY = "complete_journey"
# Whose window it is.
STUDIED = "household"


def study_of(settings: Settings) -> str:
    """The study whose window an installation keeps; blank for the window that moves on."""
    if settings.study:
        return settings.study
    return SAMPLE_STUDY if is_sample(settings, STUDIED) else ""
