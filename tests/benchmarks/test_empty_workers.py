"""The workers that do nothing, of the benchmarks of the driver, do what a trial asks of workers."""

import math
from pathlib import Path

import pytest
from sides.empty_workers import EmptyWorkers

from trainyard.spec.job import Job
from trainyard.sweep.results.checkpoints import TrialFolder
from trainyard.sweep.slots.assignment import Assignment
from trainyard.sweep.slots.trial_run import TrialRun


@pytest.mark.parametrize(("lr", "accuracy"), [(1e-3, 1.0), (1e-2, 0.5)])
def test_a_trial_of_empty_workers_finishes_at_once_with_a_value_to_search_by(
    lr: float, accuracy: float, digits_job: Job, tmp_path: Path
) -> None:
    assignment = Assignment(trial=0, values={"optimizer.lr": lr})
    result = TrialRun(assignment, digits_job, EmptyWorkers(), TrialFolder(tmp_path, 0)).next_result()
    assert result.state == "finished"
    assert math.isclose(result.metrics["val/accuracy"], accuracy)
    assert TrialFolder(tmp_path, 0).best.exists()
