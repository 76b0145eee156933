"""What a command line amounts to: a new sweep or training, or an earlier one that goes on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trainyard.cli.request import default_name, new_sweep, new_training, resumed_sweep, resumed_training
from trainyard.data.location import Location
from trainyard.errors import SpecError, UsageError
from trainyard.spec.job import Job
from trainyard.spec.load import load
from trainyard.sweep.results.folder import SweepFolder

from .conftest import Answer

FILES = ["jobs/digits_cnn.yaml", "search_spaces/digits.yaml"]


def results(text: str = "results") -> Location:
    """A place in the folder where the test runs."""
    return Location.of(text)


@pytest.fixture
def saved(place: Path) -> str:
    """A sweep that was begun earlier, with 5 trials."""
    job, space = load(Path(FILES[0]), Path(FILES[1]), ["search.trials=5", "training.epochs=3"])
    SweepFolder.create(results(), "old", job, space)
    return "old"


@pytest.fixture
def saved_training(place: Path) -> str:
    job, _ = load(Path(FILES[0]), None, ["training.epochs=3"])
    SweepFolder.create(results(), "once", job, None)
    return "once"


def test_a_new_sweep(place: Path) -> None:
    request = new_sweep([*FILES, "training.epochs=2"], 4, None, results())

    assert request.space is not None
    assert (request.job.training.epochs, request.space.search.trials, request.folder) == (2, 4, None)
    assert request.resume_command == f"trainyard sweep --resume {request.name}"


def test_trials_given_twice_are_told(place: Path) -> None:
    with pytest.raises(SpecError, match=r"search\.trials is given twice"):
        new_sweep([*FILES, "search.trials=3"], 4, None, results())


def test_the_resume_command_names_another_results_folder(place: Path) -> None:
    request = new_training([FILES[0]], "a", results("my results"))

    assert request.resume_command == "trainyard train --resume a --results 'my results'"


def test_the_resume_command_leaves_out_the_folder_of_the_environment(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINYARD_RESULTS", "elsewhere")

    assert new_training([FILES[0]], "a", results("elsewhere")).resume_command == "trainyard train --resume a"


def test_a_default_name_fits_the_rule_for_names(digits_job: Job) -> None:
    long = digits_job.with_values({"name": "a" * 63})

    assert len(default_name(long)) <= 63
    assert default_name(digits_job).startswith("digits-cnn-2")


def test_a_resumed_sweep_is_the_saved_one(saved: str) -> None:
    request = resumed_sweep(None, None, saved, results())

    assert request.space is not None
    assert (request.job.training.epochs, request.space.search.trials, request.name) == (3, 5, "old")
    assert request.job.directory == Path("jobs").resolve()


def test_a_resumed_sweep_may_be_given_with_what_it_was_saved_with(saved: str) -> None:
    request = resumed_sweep([*FILES, "training.epochs=3"], 5, saved, results())

    assert request.job.directory == Path("jobs").resolve()


def test_what_differs_from_the_saved_sweep_is_named(saved: str) -> None:
    with pytest.raises(SpecError) as caught:
        resumed_sweep([*FILES, "training.epochs=3", "training.clip_grad_norm=1", "search.seed=1"], 5, saved, results())

    assert [str(problem) for problem in caught.value.problems] == [
        "--resume old: search.seed must stay 0, got 1. Leave it as it was, or start anew.",
        "--resume old: training.clip_grad_norm must stay absent, got 1.0. Leave it as it was, or start anew.",
    ]


def test_a_sweep_may_go_on_with_more_trials(saved: str) -> None:
    request = resumed_sweep(None, 9, saved, results())
    assert request.space is not None
    assert request.space.search.trials == 9


def test_overrides_alone_are_held_against_the_saved_sweep(saved: str) -> None:
    with pytest.raises(SpecError) as caught:
        resumed_sweep(["training.seed=1"], 4, saved, results())

    assert str(caught.value).splitlines() == [
        "--resume old: training.seed must stay 0, got 1. Leave it as it was, or start anew.",
        "--resume old: search.trials must stay 5, got 4. Leave it as it was, or start anew.",
        "2 problems. Nothing was started.",
    ]


def test_an_unknown_sweep_is_told_with_those_there_are(saved: str) -> None:
    with pytest.raises(UsageError, match=r"^results: no sweep odl to resume\. There are: old\.$"):
        resumed_sweep(None, None, "odl", results())


def test_a_resumed_training_is_the_saved_one(saved_training: str) -> None:
    request = resumed_training(None, saved_training, results())

    assert (request.job.training.epochs, request.space, request.noun) == (3, None, "training")
    assert request.job.directory == Path("jobs").resolve()


def test_what_differs_from_the_saved_training_is_named(saved_training: str) -> None:
    with pytest.raises(SpecError, match=r"^--resume once: training\.epochs must stay 3, got 8\."):
        resumed_training([FILES[0]], saved_training, results())


def test_each_verb_refuses_what_the_other_began(saved: str, saved_training: str, cli: Callable[..., Answer]) -> None:
    assert cli("train", "--resume", "old").err == "old is a sweep. Go on with it by `trainyard sweep --resume old`.\n"
    assert cli("sweep", "--resume", "once").err == (
        "once is a single training. Go on with it by `trainyard train --resume once`.\n"
    )
