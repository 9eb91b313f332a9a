"""Finishes erasures that the API took, or that a build or a load held up."""

import dagster as dg

from orchestration.erase.run import finish
from pollux.runtime.errors import PolluxError
from pollux.runtime.settings import Settings

EVERY_SECONDS = 60


def build_erasure_definitions() -> dg.Definitions:
    """The sensor that removes the bytes of whoever was erased."""

    @dg.sensor(
        name="erasures",
        minimum_interval_seconds=EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Files and tables are rewritten without who was erased, and looked through; "
        "services have not answered with them since they were.",
    )
    def erasures_sensor(settings: dg.ResourceParam[Settings]) -> dg.SkipReason:
        # A build that holds its locks is not waited for: the next tick does it.
        at_once = settings.model_copy(update={"lock_timeout_seconds": 1})
        try:
            done = finish(at_once)
        except PolluxError as error:
            return dg.SkipReason(str(error))
        return dg.SkipReason(f"{len(done)} erasures were finished.")

    return dg.Definitions(sensors=[erasures_sensor])
