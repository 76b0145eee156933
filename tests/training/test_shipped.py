"""Every job that ships trains, on small made-up data of its kind."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trainyard.data.split import TrialData
from trainyard.spec.load import load_job
from trainyard.spec.tasks import TASKS
from trainyard.training.trial import Trial

JOBS = sorted((Path(__file__).parents[2] / "jobs").glob("*.yaml"))
STEPS, BATCH = 2, 2

SMALLER = 4
"""Images are made so many times smaller each way than the job's: the whole ones take seconds."""


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_a_shipped_job_trains_some_steps(path: Path, make_scenes: Callable[..., TrialData]) -> None:
    job = load_job(path, [f"training.batch_size={BATCH}", "training.epochs=1", "resources.workers=1"])
    height, width = job.data.image_size or (SMALLER * 32, SMALLER * 32)
    image = (job.data.channels or 3, height // SMALLER, width // SMALLER)
    data = make_scenes(TASKS[job.task].annotation, rows=(STEPS * BATCH, BATCH), image=image)
    trial = Trial(job, data, directory=job.directory)

    metrics = trial.epoch()

    assert {objective.metric for objective in job.objectives} <= metrics.keys()
    assert trial.done == "all epochs"
