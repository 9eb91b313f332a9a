"""A process killed during a run does not block the next run."""

import dagster as dg

from orchestration.instance.in_process import end_dead_runs

POOL = "warehouse"


def test_runs_under_way_are_ended_and_their_place_is_free() -> None:
    @dg.op(pool=POOL)
    def work() -> None:
        pass

    @dg.job
    def build() -> None:
        work()

    with dg.DagsterInstance.local_temp() as instance:
        instance.event_log_storage.set_concurrency_slots(POOL, 1)
        dead, done = (
            instance.create_run_for_job(build, status=status)
            for status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS)
        )
        instance.event_log_storage.claim_concurrency_slot(POOL, dead.run_id, "work")
        end_dead_runs(instance)
        statuses = {run.run_id: run.status for run in instance.get_runs()}
        assert statuses[dead.run_id] is dg.DagsterRunStatus.FAILURE
        assert statuses[done.run_id] is dg.DagsterRunStatus.SUCCESS
        claim = instance.event_log_storage.claim_concurrency_slot(POOL, "another", "work")
        assert claim.is_claimed
