"""What users read of an error, and with which exit code."""

import pickle

import pytest

from trainyard import errors
from trainyard.errors import Diverged, Problem, SpecError, TrialError


def test_one_problem_is_told_with_its_place() -> None:
    error = SpecError([Problem("jobs/x.yaml:16", "optimizer.lr must be > 0, got 0.")])

    assert str(error) == "jobs/x.yaml:16: optimizer.lr must be > 0, got 0.\n1 problem. Nothing was started."


def test_several_problems_are_told_in_order() -> None:
    error = SpecError([Problem("a.yaml:1", "First."), Problem("command line", "Second.")])

    assert str(error) == "a.yaml:1: First.\ncommand line: Second.\n2 problems. Nothing was started."


@pytest.mark.parametrize(
    ("name", "exit_code"),
    [
        ("TrainyardError", 1),
        ("SpecError", 2),
        ("UsageError", 2),
        ("InfeasibleError", 2),
        ("DataError", 2),
        ("StorageError", 2),
        ("RunError", 1),
        ("TrialError", 1),
        ("Diverged", 1),
        ("TrackingError", 1),
    ],
)
def test_exit_code(name: str, exit_code: int) -> None:
    assert getattr(errors, name).exit_code == exit_code


@pytest.mark.parametrize(
    "error", [SpecError([Problem("a", "b")]), TrialError("out of memory"), Diverged("loss is NaN")]
)
def test_errors_cross_processes_whole(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert str(copy) == str(error)


def test_a_trials_error_keeps_its_reason() -> None:
    assert Diverged("loss is NaN in epoch 3").reason == "loss is NaN in epoch 3"
