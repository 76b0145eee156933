"""What fits a cluster."""

from pathlib import Path
from typing import Any

import pytest

from trainyard.data.dataset import Dataset
from trainyard.data.loading import STREAM_LEAST
from trainyard.errors import InfeasibleError
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep.plan import make_plan

LR = {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1}}


def job(digits_job: Job, epochs: int = 8, **resources: Any) -> Job:
    return digits_job.with_values({"training.epochs": epochs, **{f"resources.{k}": v for k, v in resources.items()}})


def space(**search: Any) -> Space:
    return Space.from_dict({"parameters": LR, "search": {"trials": 100, **search}})


@pytest.mark.parametrize(
    ("resources", "nodes", "slots"),
    [
        ({}, [{"CPU": 2}], 2),
        ({"cpus_per_worker": 2}, [{"CPU": 3}, {"CPU": 5}], 3),
        ({"gpus_per_worker": 1}, [{"CPU": 16, "GPU": 4}, {"CPU": 16}], 4),
        ({"gpus_per_worker": 0.1}, [{"CPU": 16, "GPU": 1}], 10),
        ({"gpus_per_worker": 0.4}, [{"CPU": 16, "GPU": 2}], 4),
        ({"gpus_per_worker": 0.7}, [{"CPU": 16, "GPU": 3}, {"CPU": 16, "GPU": 1}], 4),
        ({"gpus_per_worker": 2}, [{"CPU": 16, "GPU": 3}], 1),
        ({"workers": 2}, [{"CPU": 2}], 1),
        ({"workers": 2}, [{"CPU": 1}, {"CPU": 1}], 1),
        ({"workers": 4, "gpus_per_worker": 1}, [{"CPU": 8, "GPU": 6}, {"CPU": 8, "GPU": 2}], 2),
    ],
)
def test_slots_are_as_many_as_fit(
    digits_job: Job, resources: dict[str, Any], nodes: list[dict[str, float]], slots: int
) -> None:
    assert make_plan(job(digits_job, **resources), space(), nodes).slots == slots


@pytest.mark.parametrize(
    ("resources", "slots"),
    [
        ({"workers": 2}, 3),
        ({"workers": 2, "placement": "spread"}, 3),
        ({"workers": 2, "placement": "one_node"}, 2),
        ({"workers": 3, "placement": "one_node"}, 2),
        ({"workers": [1, 2], "placement": "one_node"}, 4),
    ],
)
def test_crews_that_are_to_be_on_one_node_fit_fewer_times(
    digits_job: Job, resources: dict[str, Any], slots: int
) -> None:
    assert make_plan(job(digits_job, **resources), space(), [{"CPU": 3}, {"CPU": 3}]).slots == slots


def test_a_crew_that_no_node_has_room_for_is_refused_where_it_is_to_be_on_one(digits_job: Job) -> None:
    with pytest.raises(InfeasibleError, match=r"4 workers with 1 CPU and 0 GPU each, all on one node \(resources"):
        make_plan(job(digits_job, workers=4, placement="one_node"), space(), [{"CPU": 3}, {"CPU": 3}])


def test_slots_are_no_more_than_trials_or_than_wanted(digits_job: Job) -> None:
    assert make_plan(job(digits_job), space(trials=3), [{"CPU": 64}]).slots == 3
    assert make_plan(job(digits_job), space(max_concurrent=5), [{"CPU": 64}]).slots == 5


def test_a_crew_per_slot_where_a_trial_has_several_workers(digits_job: Job) -> None:
    assert make_plan(job(digits_job, workers=2), space(), [{"CPU": 6}]).crews == 3
    assert make_plan(job(digits_job), space(), [{"CPU": 6}]).crews == 0


@pytest.mark.parametrize(("cpus", "crews", "at_work"), [(1, 1, 1), (4, 1, 4), (6, 2, 6), (8, 2, 8), (9, 3, 9)])
def test_elastic_crews_are_as_few_as_fill_the_cluster(digits_job: Job, cpus: int, crews: int, at_work: int) -> None:
    plan = make_plan(job(digits_job, workers=[1, 4]), space(), [{"CPU": cpus}])
    assert (plan.crews, plan.cpus, plan.workers_each) == (crews, at_work, "1 to 4")


@pytest.mark.parametrize(
    ("resources", "cpus", "search", "share"),
    [
        ({"workers": [1, 4]}, (1,) * 3, {}, 3),
        ({"workers": [1, 4]}, (1,) * 5, {}, 2),
        ({"workers": [1, 4]}, (6,), {}, 3),
        ({"workers": [1, 4]}, (6,), {"max_concurrent": 1}, 4),
        ({"workers": [3, 4]}, (5,), {}, 4),
        ({"workers": [1, 4], "placement": "one_node"}, (1, 3, 2), {}, 3),
        ({"workers": [1, 4], "placement": "one_node"}, (6, 2), {}, 3),
        ({"workers": [1, 4], "placement": "one_node"}, (6,), {"max_concurrent": 1}, 4),
    ],
)
def test_elastic_crews_share_the_nodes_evenly(
    digits_job: Job, resources: dict[str, Any], cpus: tuple[int, ...], search: dict[str, int], share: int
) -> None:
    plan = make_plan(job(digits_job, **resources), space(**search), [{"CPU": count} for count in cpus])
    assert plan.crew_share == share


def test_elastic_crews_are_never_so_many_that_one_lacks_its_least(digits_job: Job) -> None:
    assert make_plan(job(digits_job, workers=[3, 4]), space(), [{"CPU": 5}]).crews == 1
    with pytest.raises(InfeasibleError, match="needs 3 workers"):
        make_plan(job(digits_job, workers=[3, 4]), space(), [{"CPU": 2}])


@pytest.mark.parametrize(
    ("scheduler", "epochs", "rungs"),
    [
        ("none", 9, ()),
        ({"name": "asha", "grace": 1, "reduction_factor": 3}, 9, (1, 3)),
        ({"name": "asha", "grace": 2, "reduction_factor": 2}, 9, (2, 4, 8)),
        ({"name": "asha", "grace": 8}, 8, ()),
        ("hyperband", 10, (1, 3, 9)),
    ],
)
def test_rungs(digits_job: Job, scheduler: Any, epochs: int, rungs: tuple[int, ...]) -> None:
    assert make_plan(job(digits_job, epochs), space(scheduler=scheduler), [{"CPU": 2}]).rungs == rungs


def test_expected_epochs_count_one_in_factor_past_each_rung(digits_job: Job) -> None:
    asha = {"name": "asha", "grace": 1, "reduction_factor": 3}
    plan = make_plan(job(digits_job, 9), space(scheduler=asha, trials=90), [{"CPU": 2}])
    assert plan.expected_epochs == 90 * 1 + 30 * 2 + 10 * 6
    assert plan.epochs == 90 * 9


def test_what_can_never_fit_is_refused_with_the_numbers(digits_job: Job) -> None:
    with pytest.raises(InfeasibleError) as refusal:
        make_plan(job(digits_job, workers=4, gpus_per_worker=1), space(), [{"CPU": 8, "GPU": 2}, {"CPU": 4}])
    assert str(refusal.value) == (
        "digits-cnn needs 4 workers with 1 CPU and 1 GPU each, and 2 such places fit the cluster (2 nodes, the largest "
        "with 8 CPU and 2 GPU). Lower resources.workers, cpus_per_worker or gpus_per_worker, or add nodes."
    )


def test_a_population_takes_turns_on_the_crews_that_there_are(digits_job: Job) -> None:
    assert make_plan(job(digits_job, workers=2), space(scheduler="pbt"), [{"CPU": 2}]).slots == 1


NEEDS = (1257 + 270) * (64 + 8)
"""Bytes of the digits, decoded."""


def test_the_smallest_store_of_a_node_that_trains_decides_what_is_cached(digits_job: Job, digits: Path) -> None:
    manifest = Dataset.open(digits).manifest
    small, large = {"CPU": 2, "object_store_memory": 1.5 * NEEDS}, {"CPU": 2, "object_store_memory": 2.0 * NEEDS}
    head = {"CPU": 0, "object_store_memory": 1.0}

    def loading(*nodes: dict[str, float]) -> list[str]:
        data = make_plan(job(digits_job), space(), nodes, manifest).data
        assert data is not None
        return [split.loading for split in data.splits]

    assert loading(large, head) == ["cached", "cached"]
    assert loading(large, small) == ["streamed", "cached"]


def test_a_plan_says_how_large_the_splits_are(digits_job: Job, digits: Path) -> None:
    nodes = [{"CPU": 2, "object_store_memory": 1e6}]
    plan = make_plan(job(digits_job), space(), nodes, Dataset.open(digits).manifest)
    assert plan.as_dict()["data"] == {
        "room_bytes": 600_000,
        "splits": {
            "train": {"rows": 1257, "bytes": 1257 * 72, "loading": "cached"},
            "val": {"rows": 270, "bytes": 270 * 72, "loading": "cached"},
        },
    }


def test_data_that_is_forced_into_a_store_without_room_is_refused(digits_job: Job, digits: Path) -> None:
    forced = digits_job.with_values({"data.loading": "cached"})
    nodes = [{"CPU": 2, "object_store_memory": 1e5}]
    with pytest.raises(
        InfeasibleError, match=r"decoded, and the smallest object store of the nodes has room for 88 KiB"
    ):
        make_plan(forced, space(), nodes, Dataset.open(digits).manifest)


def test_streams_of_a_node_share_its_store(digits_job: Job, digits: Path) -> None:
    streamed = job(digits_job, workers=2).with_values({"data.loading": "streamed"})
    data = make_plan(streamed, space(), [{"CPU": 8, "object_store_memory": 1e9}], Dataset.open(digits).manifest).data
    assert data is not None
    assert STREAM_LEAST < data.stream_bytes == 1e9 * 0.8 / 2 / 8
