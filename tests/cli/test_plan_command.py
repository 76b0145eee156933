"""`plan`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Answer

FILES = ("jobs/digits_cnn.yaml", "search_spaces/digits.yaml")


def test_plan_for_a_machine_of_given_size(place: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("plan", *FILES, "--cpus", "16", "--gpus", "4", "resources.gpus_per_worker=1")

    assert answer.code == 0
    assert answer.out.splitlines() == [
        "digits-cnn on one machine: 16 CPUs, 4 GPUs",
        "  slots    4, with 1 CPU and 1 GPU for each worker; in all 4 CPUs, 4 GPUs",
        "  crews    none, slots train alone",
        "  trials   16, proposed by tpe",
        "  rungs    after epochs 2, 6 (scheduler: asha)",
        "  epochs   8 a trial, 128 in all, 57 expected",
        "  data     train cached (1,257 rows, 88 KiB), val cached (270 rows, 19 KiB)",
    ]


def test_plan_says_what_is_streamed(place: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("plan", *FILES, "--cpus", "2", "data.loading=streamed")

    assert "  data     train streamed (1,257 rows, 88 KiB), val streamed (270 rows, 19 KiB); a node has" in answer.out


def test_plan_before_there_is_a_data_set(place: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("plan", *FILES, "--cpus", "2", "data.path=data/later")

    assert answer.out.splitlines()[-1] == "  data     data/later is not there yet"


def test_plan_for_a_data_set_that_does_not_fit(place: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("plan", *FILES, "--cpus", "2", "data.train_split=trian")

    assert (answer.code, answer.err.partition(".")[0]) == (2, "data/digits has no split trian, which data")


def test_plan_with_crews(place: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("plan", "jobs/digits_crew.yaml", FILES[1], "--cpus", "6", "search.scheduler=none")

    assert "  crews    3, one for each slot, of 2 workers" in answer.out
    assert "  rungs    none (scheduler: none)" in answer.out


def test_plan_says_where_crews_are_to_be(place: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("plan", "jobs/digits_crew.yaml", FILES[1], "--cpus", "6", "resources.placement=one_node")

    assert "  crews    3, one for each slot, of 2 workers, each on one node" in answer.out


def test_plan_as_json(place: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("plan", *FILES, "--cpus", "2", "--gpus", "0", "--trials", "5", "--format", "json")

    plan = json.loads(answer.out)
    assert (plan["job"], plan["slots"], plan["trials"], plan["epochs_at_most"]) == ("digits-cnn", 2, 5, 40)


def test_plan_counts_the_points_of_a_grid(place: Path, cli: Callable[..., Answer]) -> None:
    (place / "grid.yaml").write_text(
        "parameters: {optimizer.name: {type: categorical, choices: [adam, sgd, adamw]}}\nsearch: {sampler: grid}\n"
    )

    assert "  trials   3, proposed by grid" in cli("plan", FILES[0], "grid.yaml", "--cpus", "1").out


def test_what_does_not_fit_is_refused(place: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("plan", *FILES, "--cpus", "2", "resources.cpus_per_worker=4")

    assert answer.code == 2
    assert answer.err.startswith("digits-cnn needs 1 worker with 4 CPU and 0 GPU each, and 0 such places fit")


def test_a_cluster_has_the_cpus_that_it_has(place: Path, cli: Callable[..., Answer]) -> None:
    answer = cli("plan", *FILES, "--address", "auto", "--cpus", "2")

    assert answer.code == 2
    assert answer.err == "--address names a cluster, --cpus and --gpus a machine that may not exist. Leave one out.\n"


def test_a_cluster_that_does_not_answer_is_told_at_once(
    place: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Answer]
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")

    answer = cli("plan", *FILES)

    assert answer.code == 2
    assert answer.err == (
        "No Ray cluster answers at 127.0.0.1:9: connection refused. Start one with `ray start --head`, or leave "
        "--address (and RAY_ADDRESS) out to run on this machine.\n"
    )
