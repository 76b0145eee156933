"""A split that is streamed by Ray Data gives what the rules say, and leaves nothing behind."""

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from trainyard.data import windows
from trainyard.data.cache import share
from trainyard.data.columns import Columns
from trainyard.data.dataset import Dataset
from trainyard.data.decode import decode_split
from trainyard.data.loading import plan_data
from trainyard.data.location import Location
from trainyard.data.manifest import Annotation
from trainyard.data.rows import EpochOrder
from trainyard.data.shapes import DecodeSettings
from trainyard.data.source import Boxes, Example
from trainyard.data.split import Split
from trainyard.data.stream import StreamedSplit, batches, plain_errors
from trainyard.data.windows import Groups, training_windows
from trainyard.data.writer import write_dataset
from trainyard.errors import DataError, StorageError
from trainyard.spec.training import DataSettings

pytestmark = pytest.mark.cluster

ROWS = 9000
"""Eighteen row groups: two windows."""


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Images that say which row they are."""
    path = tmp_path_factory.mktemp("data") / "numbered"
    images = np.zeros((ROWS, 2, 2), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.divmod(np.arange(ROWS), 256)
    examples = [
        Example(name=f"{row}", split="train", image=image, label=int(row >= ROWS - 600))
        for row, image in enumerate(images)
    ]
    write_dataset(path, examples, annotation="label", classes=("many", "few"), source="tests")
    return Dataset.open(path)


@pytest.fixture(scope="module")
def split(numbered: Dataset, ray_nodes: list[dict[str, float]]) -> StreamedSplit:
    return StreamedSplit(numbered, "train", DecodeSettings(), store_bytes=1 << 16, tasks=2)


def order(**changes: Any) -> EpochOrder:
    return EpochOrder(**{"epoch": 1, "seed": 0, "batch_size": 64} | changes)


def numbers(batch: Columns) -> list[int]:
    return (batch["image"][:, 0, 0, 0].astype(int) * 256 + batch["image"][:, 0, 0, 1]).tolist()


@pytest.fixture(scope="module")
def epoch(split: StreamedSplit) -> list[list[list[int]]]:
    """The rows of each batch of two workers."""
    return [[numbers(batch) for batch in split.training(order(rank=rank, workers=2))] for rank in (0, 1)]


def test_every_rank_takes_the_same_steps(epoch: list[list[list[int]]]) -> None:
    assert [[len(batch) for batch in batches] for batches in epoch] == [[32] * 140] * 2


def test_no_row_is_lost_or_doubled(epoch: list[list[list[int]]]) -> None:
    given = [row for batches in epoch for batch in batches for row in batch]
    assert len(given) == len(set(given)) == 140 * 64


def test_the_rows_come_as_the_rules_say(epoch: list[list[list[int]]], numbered: Dataset) -> None:
    groups = Groups([group.rows for group in numbered.groups("train")], row_bytes=4 + 8)
    ruled = [row for window in training_windows(groups, order(rank=1, workers=2)) for row in window.rows.tolist()]
    assert [row for batch in epoch[1] for row in batch] == ruled


def test_labels_go_with_their_images(split: StreamedSplit) -> None:
    for batch in split.training(order(batch_size=1000)):
        assert np.array_equal(batch["label"], np.array(numbers(batch)) >= ROWS - 600)
        assert all(column.flags.writeable for column in batch.values())


def test_labels_go_with_their_images_where_whole_row_groups_are_decoded_at_once(numbered: Dataset) -> None:
    split = StreamedSplit(numbered, "train", DecodeSettings(), store_bytes=64 << 20, tasks=2)

    seen = [(numbers(batch), batch["label"].tolist()) for batch in split.training(order())]

    assert all([int(number >= ROWS - 600) for number in images] == labels for images, labels in seen)
    assert {label for _, labels in seen for label in labels} == {0, 1}


def test_weighted_rows_come_as_often_as_they_should(split: StreamedSplit) -> None:
    assert np.bincount(split.classes().classes).tolist() == [ROWS - 600, 600]
    weights = np.where(split.classes().classes == 1, 14.0, 1.0)
    drawn = [row for batch in split.training(order(batch_size=500, weights=weights)) for row in numbers(batch)]
    few = sum(row >= ROWS - 600 for row in drawn)
    assert len(drawn) == ROWS
    assert few == pytest.approx(ROWS // 2, abs=100)


def test_an_evaluation_has_every_row_once_in_order(split: StreamedSplit) -> None:
    shares = [list(split.evaluation(size=1000, rank=rank, workers=3)) for rank in range(3)]
    assert [row for share in shares for batch in share for row in numbers(batch)] == list(range(ROWS))
    assert [len(batch["label"]) for batch in shares[0]] == [1000, 1000, 1000]


def test_a_rank_without_rows_gets_no_batch(split: StreamedSplit) -> None:
    assert list(split.evaluation(size=8, rank=0, workers=10 * ROWS)) == []


def test_the_first_rows_need_no_execution(split: StreamedSplit) -> None:
    assert numbers(split.first(3)) == [0, 1, 2]
    assert split.image_shape == (1, 2, 2)


def test_it_runs_where_all_cpus_are_taken(numbered: Dataset, ray_nodes: list[dict[str, float]]) -> None:
    """As in a slot: Tune reserves the CPUs for the trial's actor, and has its tasks ask for a share of them."""
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    class Reader:
        def rows(self, dataset: Dataset) -> int:
            stream = StreamedSplit(dataset, "train", DecodeSettings(), store_bytes=1 << 16, tasks=2)
            return sum(len(batch["label"]) for batch in stream.evaluation(size=1000))

    group = placement_group([{"CPU": ray_nodes[0]["CPU"]}])
    ray.get(group.ready())
    place = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
    reader = ray.remote(num_cpus=ray_nodes[0]["CPU"], scheduling_strategy=place)(Reader).remote()
    assert ray.get(reader.rows.remote(numbered)) == ROWS
    remove_placement_group(group)


def gone(names: set[str]) -> bool:
    return not {thread.name.partition("-")[0] for thread in threading.enumerate()} & names


def test_ending_early_ends_the_execution(split: StreamedSplit) -> None:
    stream = split.training(order())
    next(stream)
    assert not gone({"trainyard"})
    stream.close()  # type: ignore[attr-defined]
    assert gone({"trainyard", "StreamingExecutor"})


def test_nothing_stays_in_the_store(split: StreamedSplit, ray_nodes: list[dict[str, float]]) -> None:
    import ray

    def taken() -> float:
        return ray_nodes[0]["object_store_memory"] - ray.available_resources()["object_store_memory"]

    before = taken()
    for _ in range(3):
        stream = split.training(order())
        next(stream)
        stream.close()  # type: ignore[attr-defined]
    end = time.monotonic() + 10
    while taken() > before + 50_000 and time.monotonic() < end:
        time.sleep(0.1)
    assert taken() <= before + 50_000


def test_a_slow_reader_is_waited_for(
    numbered: Dataset, ray_nodes: list[dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 110 MB there are never more than some 12 in the store: two windows of 6."""
    import ray

    monkeypatch.setattr(windows, "WINDOW_BYTES", 7 << 20)

    settings = DecodeSettings(image_size=(64, 64), channels=3)
    split = StreamedSplit(numbered, "train", settings, store_bytes=4 << 20, tasks=2)
    most = 0.0
    free = ray.available_resources()["object_store_memory"]
    for _ in split.training(order(batch_size=400)):
        time.sleep(0.05)
        most = max(most, free - ray.available_resources()["object_store_memory"])
    assert most < 24 << 20


def test_an_image_that_was_exchanged_is_told_in_plain_words(numbered: Dataset, ray_nodes: Any, tmp_path: Path) -> None:
    manifest = numbered.manifest
    wrong = manifest.image.model_copy(update={"smallest": (3, 2), "largest": (3, 2)})
    changed = Dataset(
        location=numbered.location,
        manifest=manifest.model_copy(update={"image": wrong}),
        _groups=numbered._groups,
        _footers=numbered._footers,
    )
    stream = StreamedSplit(changed, "train", DecodeSettings(), store_bytes=1 << 16, tasks=2).training(order())
    with pytest.raises(DataError) as error:
        next(stream)
    assert type(error.value) is DataError
    assert str(error.value).endswith(
        f"doesn't have 3x2x1 pixels. Delete {numbered.path} and import it again (trainyard data import)."
    )
    assert gone({"trainyard", "StreamingExecutor"})


def test_a_data_set_that_is_away_is_told_apart_from_a_damaged_one(numbered: Dataset, ray_nodes: Any) -> None:
    away = replace(numbered, location=Location.of("/no/such/mount"))
    split = StreamedSplit(away, "train", DecodeSettings(), store_bytes=1 << 16, tasks=2)
    with pytest.raises(StorageError, match=r" does not see the data set /no/such/mount\. "):
        next(split.training(order()))
    with pytest.raises(StorageError):
        split.first(2)


def test_what_ray_has_lost_is_told_in_one_line() -> None:
    with pytest.raises(StorageError) as error, plain_errors():
        raise ray.exceptions.ObjectLostError("f" * 56, None, "")
    assert str(error.value).startswith("Ray can't give what was decoded: ObjectLostError: Failed to retrieve object ")
    assert "\n" not in str(error.value)


def annotated(path: Path, annotation: Annotation) -> Dataset:
    random = np.random.default_rng(0)
    examples = [
        Example(
            name=f"{row}",
            split="train",
            image=random.integers(0, 256, (6, 7, 3), dtype=np.uint8),
            mask=random.integers(0, 2, (6, 7), dtype=np.uint8) if annotation == "mask" else None,
            boxes=Boxes(
                corners=np.array([[1.0, 1, 4, 5]] * (row % 3)).reshape(-1, 4),
                labels=np.zeros(row % 3, np.int64),
                crowd=np.ones(row % 3, bool),
            )
            if annotation == "boxes"
            else None,
        )
        for row in range(9)
    ]
    write_dataset(path, examples, annotation=annotation, classes=("a", "b"), source="tests")
    return Dataset.open(path)


@pytest.mark.parametrize("annotation", ["mask", "boxes"])
def test_all_columns_come_as_they_are_cached(annotation: Annotation, tmp_path: Path, ray_nodes: Any) -> None:
    dataset = annotated(tmp_path / "data", annotation)
    data = DataSettings(path=dataset.path, train_split="train", evaluate_split="train", loading="streamed")
    split: Split = share(dataset, data, plan_data(dataset.manifest, data, free=1 << 30)).read().train
    assert isinstance(split, StreamedSplit)
    (batch,) = split.evaluation(size=9)
    for name, column in decode_split(dataset, "train").items():
        assert batch[name].dtype == column.dtype
        assert np.array_equal(batch[name], column)


@pytest.mark.parametrize("sizes", [[5, 1, 0, 7, 3, 20, 1], [37], [1] * 37])
def test_batches_are_cut_from_blocks_of_any_size(sizes: list[int]) -> None:
    ends = np.cumsum(sizes)
    blocks = [{"row": np.arange(end - size, end)} for size, end in zip(sizes, ends, strict=True)]
    cut = [batch["row"].tolist() for batch in batches(blocks, 4)]
    assert [len(batch) for batch in cut] == [4] * 9 + [1]
    assert [row for batch in cut for row in batch] == list(range(37))
