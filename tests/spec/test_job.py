"""Jobs in code: their values by path, other values, and what is refused."""

import pickle
from pathlib import Path
from typing import Any, get_args

import pytest

from trainyard.errors import SpecError
from trainyard.spec import Job, load_job
from trainyard.spec.decision import Argmax, BestF1, BestRecall, Fixed
from trainyard.spec.models.classifiers import Cnn
from trainyard.spec.optimizer import Sgd
from trainyard.spec.schedule import Cosine
from trainyard.spec.tasks import TASKS, class_of
from trainyard.spec.yaml_reader import read_text
from trainyard.spec.yaml_writer import to_yaml

DATA: dict[str, Any] = {
    "name": "digits",
    "task": "classification",
    "data": {"path": "data/digits"},
    "model": {"name": "cnn", "channels": [32, 64]},
    "loss": {"cross_entropy": {"weight": 1.0}, "focal": {"weight": 0.0}},
    "optimizer": {"name": "adamw", "lr": 1e-3, "weight_decay": 0.1},
    "schedule": {"name": "one_cycle", "pct_start": 0.2},
    "training": {"epochs": 8, "batch_size": 64},
    "objective": {"metric": "val/accuracy", "mode": "max"},
}


@pytest.fixture
def job() -> Job:
    return Job.from_dict(DATA)


def told(job: Job, values: dict[str, Any]) -> str:
    with pytest.raises(SpecError) as caught:
        job.with_values(values)
    return "\n".join(str(problem) for problem in caught.value.problems)


def test_values_are_flat_and_include_defaults(job: Job) -> None:
    values = job.values()

    assert values["optimizer.lr"] == 1e-3
    assert values["training.seed"] == 0
    assert values["model.channels"] == [32, 64]
    assert values["model.kernel"] == 3


def test_values_leave_out_what_is_absent(job: Job) -> None:
    assert not {"augmentations.rotate.degrees", "training.clip_grad_norm", "data.image_size"} & job.values().keys()


def test_terms_are_those_in_the_mix(job: Job) -> None:
    assert {name: term.weight for name, term in job.loss.terms().items()} == {"cross_entropy": 1.0, "focal": 0.0}


def test_a_whole_number_is_a_fine_float(job: Job) -> None:
    assert job.with_values({"optimizer.lr": 1}).optimizer.lr == 1.0


def test_one_objective_or_several() -> None:
    objectives = [{"metric": "val/accuracy", "mode": "max"}, {"metric": "val/loss", "mode": "min"}]
    several = Job.from_dict(DATA | {"objective": objectives})

    assert [objective.metric for objective in several.objectives] == ["val/accuracy", "val/loss"]
    assert [objective.metric for objective in Job.from_dict(DATA).objectives] == ["val/accuracy"]
    assert Job.from_dict(several.to_dict()) == several


def test_a_model_of_ones_own_takes_any_settings() -> None:
    job = Job.from_dict(
        DATA | {"model": {"name": "my_models.nets:build", "width": 64, "stages": [1, 2], "head": {"bias": None}}}
    )

    assert job.model.settings == {"width": 64, "stages": [1, 2], "head": {"bias": None}}
    assert job.with_values({"model.width": 32, "model.head.bias": True}).values()["model.head.bias"] is True
    assert Job.from_dict(read_text(job.to_yaml(), "x", "job").data) == job


def test_a_model_of_ones_own_has_only_the_settings_that_the_job_gives() -> None:
    job = Job.from_dict(DATA | {"model": {"name": "nets:build", "width": 64}})

    assert told(job, {"model.kernel": 1}) == "job: unknown path model.kernel in job digits. model has name and width."


def test_settings_of_a_known_model_include_its_defaults(job: Job) -> None:
    assert job.model.settings == {"channels": [32, 64], "kernel": 3, "padding": "valid", "dropout": 0.5}


def test_a_job_can_not_be_changed(job: Job) -> None:
    with pytest.raises(ValueError, match="frozen"):
        job.training.epochs = 3  # type: ignore[misc]


def test_jobs_cross_processes(job: Job) -> None:
    assert pickle.loads(pickle.dumps(job)) == job


def test_folder_and_file_do_not_count_for_equality(tmp_path: Path, job: Job) -> None:
    (tmp_path / "job.yaml").write_text(job.to_yaml())
    loaded = load_job(tmp_path / "job.yaml")

    assert loaded == job
    assert hash(loaded) == hash(job)
    assert loaded.directory == tmp_path
    assert loaded.with_values({"training.epochs": 3}).directory == tmp_path


def test_other_values_leave_the_job_as_it_was(job: Job) -> None:
    other = job.with_values({"optimizer.lr": 0.1, "training.clip_grad_norm": 1.0, "model.channels": (8, 16, 32)})

    assert (other.optimizer.lr, other.training.clip_grad_norm, job.optimizer.lr) == (0.1, 1.0, 1e-3)
    assert isinstance(other.model, Cnn)
    assert other.model.channels == (8, 16, 32)


def test_its_own_values_give_an_equal_job(job: Job) -> None:
    assert job.with_values(job.values()) == job


def test_another_optimizer_keeps_what_both_have_and_drops_the_rest(job: Job) -> None:
    other = job.with_values({"optimizer.momentum": 0.5, "optimizer.name": "sgd"})

    assert other.optimizer == Sgd(name="sgd", lr=1e-3, weight_decay=0.1, momentum=0.5)


def test_what_nobody_stated_takes_the_default_of_another_optimizer(tmp_path: Path) -> None:
    """By a space as by an override; also in a second change, and in another process."""
    data = DATA | {"optimizer": {"name": "adamw", "lr": 1e-3}}
    job = pickle.loads(pickle.dumps(Job.from_dict(data)))
    (tmp_path / "job.yaml").write_text(to_yaml(data))
    overridden = load_job(tmp_path / "job.yaml", ["optimizer.name=sgd"])

    assert job.optimizer.weight_decay == 0.01
    assert job.with_values({"optimizer.name": "sgd"}) == overridden
    assert overridden.optimizer.weight_decay == 0.0
    assert overridden.with_values({"optimizer.name": "adamw"}).optimizer.weight_decay == 0.01


def test_what_was_stated_makes_the_same_job_and_what_it_is_in_full_states_every_default() -> None:
    data = DATA | {"optimizer": {"name": "adamw", "lr": 1e-3}, "loss": {"cross_entropy": {}}}
    job = Job.from_dict(data)
    again = Job.from_dict(job.stated())
    in_full = Job.from_dict(job.to_dict())

    assert job.stated() == data
    assert again == in_full == job
    assert again.with_values({"optimizer.name": "sgd"}).optimizer.weight_decay == 0.0
    assert in_full.with_values({"optimizer.name": "sgd"}).optimizer.weight_decay == 0.01


def test_another_schedule_has_its_defaults(job: Job) -> None:
    assert job.with_values({"schedule.name": "cosine"}).schedule == Cosine(name="cosine")


def test_an_unknown_path_is_told_with_a_hint(job: Job) -> None:
    assert told(job, {"optimizer.learning_rate": 1}) == (
        "job: unknown path optimizer.learning_rate in job digits. Did you mean optimizer.lr?"
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (0.25, Fixed(name="fixed", value=0.25)),
        (1, Fixed(name="fixed", value=1.0)),
        ("argmax", Argmax(name="argmax")),
        ("f1", BestF1(name="f1")),
        ({"name": "recall", "least_precision": 0.9}, BestRecall(name="recall", least_precision=0.9)),
    ],
    ids=str,
)
def test_a_threshold_is_a_number_or_a_rule(written: object, meant: object) -> None:
    job = Job.from_dict(DATA | {"decision": {"positive": "rust", "threshold": written}})

    assert job.decision is not None
    assert job.decision.threshold == meant
    assert Job.from_dict(job.to_dict()) == job


def test_without_a_threshold_the_likeliest_class_is_the_answer() -> None:
    job = Job.from_dict(DATA | {"decision": {"positive": "rust"}})

    assert job.values()["decision.threshold.name"] == "argmax"


def test_measures_of_a_class_with_any_name_are_metrics() -> None:
    names = ["val/precision/rust & dust", "val/f1/a/b", "val/average_precision/0"]
    job = Job.from_dict(DATA | {"objective": [{"metric": name, "mode": "max"} for name in names]})

    assert [class_of(job.task, metric) for _, metric in job.watched] == ["rust & dust", "a/b", "0"]


def test_labels_are_words_of_ones_own(job: Job) -> None:
    labelled = Job.from_dict(DATA | {"labels": {"arm": "none"}})

    assert labelled.with_values({"labels.arm": "both"}).labels == {"arm": "both"}
    assert told(job, {"labels.arm": "both"}).startswith("job: unknown path labels.arm in job digits.")


def test_a_path_of_an_absent_section_is_told_with_the_way_out(job: Job) -> None:
    assert told(job, {"augmentations.shear.p": 0.5}) == (
        "job: augmentations.shear isn't in the job, so augmentations.shear.p is unknown. "
        "Add shear: {degrees: 10, p: 0.0} to be able to set it."
    )


def test_all_problems_of_values_come_at_once(job: Job) -> None:
    assert told(job, {"training.epochs": 0, "optimizer.lr": float("nan"), "foo": 1}).count("\n") == 2


def test_problems_of_values_name_where_they_come_from(job: Job) -> None:
    with pytest.raises(SpecError, match=r"^trial 3: training\.epochs must be >= 1, got 0\."):
        job.with_values({"training.epochs": 0}, where="trial 3")


def test_every_task_that_a_job_may_name_has_its_facts() -> None:
    assert set(get_args(Job.model_fields["task"].annotation)) == set(TASKS)


def test_overrides_change_a_loaded_job(tmp_path: Path, job: Job) -> None:
    (tmp_path / "job.yaml").write_text(job.to_yaml())
    overrides = ["optimizer.lr=1e-4", "model.channels=[16]", "augmentations.rotate={degrees: 5}", "loss.focal=null"]

    values = load_job(
        tmp_path / "job.yaml", [*overrides, "training.early_stopping={metric: val/loss, patience: 2}"]
    ).values()

    assert (values["optimizer.lr"], values["model.channels"]) == (1e-4, [16])
    assert (values["augmentations.rotate.degrees"], values["training.early_stopping.patience"]) == (5.0, 2)
    assert "loss.focal.weight" not in values
