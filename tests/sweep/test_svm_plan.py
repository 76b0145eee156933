"""What a sweep of SVMs would do on a cluster, and how it is said."""

from pathlib import Path
from typing import Any

import pytest

from trainyard.cli.planning import plan_lines
from trainyard.data.dataset import Dataset
from trainyard.errors import DataError, InfeasibleError
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep.plan import make_plan
from trainyard.tasks.fitting import require_fit

SPACE = Space.from_dict(
    {"parameters": {"model.C": {"type": "float", "low": 0.01, "high": 100, "log": True}}, "search": {"trials": 50}}
)


def job(digits: Path, **values: Any) -> Job:
    made = Job.from_dict(
        {
            "name": "digits-svm",
            "task": "classification",
            "data": {"path": str(digits), "channels": 3},
            "model": {"name": "svm", "features": {"architecture": "vgg11", "pool": "flatten"}},
            "training": {"epochs": 1, "batch_size": 16},
            "objective": {"metric": "val/accuracy", "mode": "max"},
        }
    )
    return made.with_values({path.replace("__", "."): value for path, value in values.items()})


def test_features_take_the_place_of_decoded_splits(digits: Path) -> None:
    plan = make_plan(job(digits), SPACE, [{"CPU": 4, "object_store_memory": 1.0}], Dataset.open(digits).manifest)

    assert (plan.slots, plan.epochs, plan.data) == (4, 50, None)
    assert plan.as_dict()["extraction"] == {
        "what": "features of vgg11 (flatten)",
        "rows": {"train": 1257, "val": 270},
    }
    assert "data" not in plan.as_dict()
    assert plan_lines(plan, job(digits), SPACE, "this machine")[-1] == (
        "  data     features of vgg11 (flatten), extracted once and shared: train 1,257 rows, val 270 rows"
    )


def test_a_gpu_is_for_the_extraction_and_leaves_slots_as_many_as_there_are_cpus(digits: Path) -> None:
    with_gpu = job(digits, resources__gpus_per_worker=1)
    plan = make_plan(with_gpu, SPACE, [{"CPU": 16, "GPU": 1}])

    assert (plan.slots, plan.gpus) == (16, 0)
    with pytest.raises(InfeasibleError, match="needs 1 worker with 1 CPU and 1 GPU each"):
        make_plan(with_gpu, SPACE, [{"CPU": 16}])


def test_so_many_rows_that_a_fit_takes_hours_are_refused_unless_the_job_says_how_many(digits: Path) -> None:
    manifest = Dataset.open(digits).manifest
    large = manifest.splits["train"].model_copy(update={"rows": 50_000})
    many = manifest.model_copy(update={"splits": {**manifest.splits, "train": large}})

    require_fit(job(digits), manifest)
    with pytest.raises(DataError, match=r"fitted to 50,000 rows of .*Set model\.max_rows=20000 to fit to so many of"):
        require_fit(job(digits), many)
    require_fit(job(digits, model__max_rows=20_000), many)
    require_fit(job(digits, model__max_rows=50_000), many)


def test_one_class_is_refused_before_anything_starts(digits: Path) -> None:
    manifest = Dataset.open(digits).manifest
    facts = manifest.splits["train"]
    one = facts.model_copy(update={"class_images": (facts.rows, *(0 for _ in facts.class_images[1:]))})

    with pytest.raises(DataError, match=r"split train of .* has images of fewer than two classes"):
        require_fit(job(digits), manifest.model_copy(update={"splits": {**manifest.splits, "train": one}}))


def test_grey_images_are_refused_with_the_way_out(digits: Path) -> None:
    with pytest.raises(DataError, match=r"Set data\.channels"):
        require_fit(job(digits, data__channels=None), Dataset.open(digits).manifest)
