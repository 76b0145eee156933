"""Every job and space that ships is loaded, checked and written back."""

from pathlib import Path

import pytest

from trainyard.spec import Job, Space, load, load_job, load_space
from trainyard.spec.distributions import Float
from trainyard.spec.grid import grid
from trainyard.spec.yaml_reader import read_text

ROOT = Path(__file__).parents[2]
JOBS = sorted((ROOT / "jobs").glob("*.yaml"))
SPACES = sorted((ROOT / "search_spaces").glob("*.yaml"))


def test_there_are_some() -> None:
    assert JOBS
    assert SPACES


def test_each_space_has_jobs_that_it_is_made_for() -> None:
    assert PAIRS.keys() == {path.stem for path in SPACES}


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_a_job_is_the_same_after_a_round_trip(path: Path, tmp_path: Path) -> None:
    job = load_job(path)
    (tmp_path / "job.yaml").write_text(job.to_yaml())

    assert load_job(tmp_path / "job.yaml") == job
    assert Job.from_dict(job.to_dict()) == job


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_a_space_is_the_same_after_a_round_trip(path: Path) -> None:
    space = load_space(path)

    assert Space.from_dict(read_text(space.to_yaml(), "space.yaml", "space").data) == space


PAIRS = {
    "augmentations_masks": ["camvid_fast_scnn", "camvid_fast_scnn_small", "nuclei_mobilenet_unet"],
    "defects": ["defects_binary", "defects_multiclass"],
    "depth_and_shortcuts": ["residual_net"],
    "detection": ["bccd_centernet"],
    "detection_anchors": ["bccd_faster_rcnn", "bccd_faster_rcnn_small"],
    "digits": ["digits_cnn", "digits_crew"],
    "learning_rate": [path.stem for path in JOBS if path.stem not in ("mnist_regularisation", "vehicles_svm")],
    "loss_mix_binary": ["nuclei_mobilenet_unet"],
    "loss_mix_segmentation": ["camvid_deconvolution", "camvid_fast_scnn", "camvid_fast_scnn_small", "camvid_unet"],
    "mnist_regularisation": ["mnist_regularisation"],
    "one_cycle": ["camvid_fast_scnn", "camvid_unet", "nuclei_mobilenet_unet", "nuclei_unet", "nuclei_sam_tiny"],
    "sam": ["nuclei_sam", "nuclei_sam_tiny"],
    "segmentation": ["camvid_deconvolution", "camvid_unet", "nuclei_unet"],
    "svm": ["vehicles_svm"],
    "transfer": ["resnet50_transfer", "vehicles_vgg16"],
}
"""By space, the jobs that it is made for."""

LOSS_MIXES = ("loss_mix_binary", "loss_mix_segmentation")


@pytest.mark.parametrize(("space", "job"), [(space, job) for space, jobs in PAIRS.items() for job in jobs])
def test_a_space_fits_the_jobs_that_it_is_made_for(space: str, job: str) -> None:
    load(ROOT / "jobs" / f"{job}.yaml", ROOT / "search_spaces" / f"{space}.yaml")


@pytest.mark.parametrize(
    ("space", "job"),
    [(space, job) for space in ("detection_anchors", *LOSS_MIXES) for job in PAIRS[space]],
)
def test_a_mix_is_searched_about_the_learning_rate_of_its_job(space: str, job: str) -> None:
    """Weights that are searched sum to one: where those of the job don't, its learning rate means another."""
    stated, found = load(ROOT / "jobs" / f"{job}.yaml", ROOT / "search_spaces" / f"{space}.yaml")
    assert found is not None
    assert stated.loss is not None
    assert stated.optimizer is not None
    rate = found.parameters["optimizer.lr"]
    own = stated.optimizer.lr
    if stated.optimizer.name == "sgd":
        own *= sum(term.weight for term in stated.loss.terms().values())

    assert isinstance(rate, Float)
    assert 1.5 * rate.low <= own <= rate.high / 3


def test_the_regularisation_study_has_five_arms() -> None:
    folders = (ROOT / "jobs", ROOT / "search_spaces")
    job, space = load(*(folder / "mnist_regularisation.yaml" for folder in folders))
    assert space is not None
    arms = [job.with_values(space.values_from(job, point)) for point in grid(space, job)]
    settings = {arm.labels["regularisation"]: tuple(arm.values()[path] for path in REGULARISATION) for arm in arms}

    assert len(arms) == 5
    assert settings == {
        "none": (0.0, False, 0.0, 0.0),
        "l2": (1e-3, False, 0.0, 0.0),
        "batch_norm": (0.0, True, 0.0, 0.0),
        "dropout": (0.0, False, 0.2, 0.5),
        "both": (0.0, True, 0.2, 0.5),
    }
    assert {(arm.training.epochs, arm.training.steps_per_epoch, arm.training.batch_size) for arm in arms} == {
        (10, 200, 64)
    }


REGULARISATION = ("optimizer.weight_decay", "model.batch_norm", "model.input_dropout", "model.dropout")


@pytest.mark.parametrize("space", ["digits", "learning_rate"])
@pytest.mark.parametrize("job", ["digits_cnn", "digits_crew"])
def test_the_digits_jobs_fit_their_spaces(job: str, space: str) -> None:
    loaded, found = load(ROOT / "jobs" / f"{job}.yaml", ROOT / "search_spaces" / f"{space}.yaml", ["search.trials=3"])

    assert loaded.task == "classification"
    assert found is not None
    assert found.search.trials == 3
