"""`check` and `schema`."""

import json
from collections.abc import Callable
from pathlib import Path

from .conftest import Answer


def test_check_says_what_is_valid(place: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("check", "jobs/digits_cnn.yaml", "search_spaces/digits.yaml", "search.trials=3")

    assert answer == Answer(
        0,
        "jobs/digits_cnn.yaml: job digits-cnn is valid.\n"
        "search_spaces/digits.yaml: fits the job: 7 parameters, 3 trials.\n",
        "",
    )


def test_check_of_a_job_alone(place: Path, cli: Callable[..., Answer]) -> None:
    assert cli("check", "jobs/digits_cnn.yaml").out == "jobs/digits_cnn.yaml: job digits-cnn is valid.\n"


def test_check_prints_every_problem_on_stderr(place: Path, cli: Callable[..., Answer]) -> None:
    job = place / "jobs" / "digits_cnn.yaml"
    before, after = job.read_text().split("epochs: 8")
    job.write_text(f"{before}epochs: 0{after}")
    line = before.count("\n") + 1

    answer = cli("check", "jobs/digits_cnn.yaml", "optimizer.learning_rate=1", "=5")

    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.splitlines() == [
        f"jobs/digits_cnn.yaml:{line}: training.epochs must be >= 1, got 0.",
        "command line: unknown path optimizer.learning_rate in job digits-cnn. Did you mean optimizer.lr?",
        'command line: expected path=value, such as training.epochs=5, got "=5".',
        "3 problems. Nothing was started.",
    ]


def test_a_file_is_told_from_an_override_by_a_slash_before_the_equals_sign(
    place: Path, cli: Callable[..., Answer]
) -> None:
    (place / "lr=1").mkdir()
    (place / "lr=1" / "job.yaml").write_text((place / "jobs" / "digits_cnn.yaml").read_text())

    assert cli("check", "./lr=1/job.yaml").code == 0


def test_schema_is_json(cli: Callable[..., Answer]) -> None:
    answer = cli("schema", "space")

    assert answer.code == 0
    assert json.loads(answer.out)["title"] == "trainyard space"
