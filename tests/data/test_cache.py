"""Splits are decoded once by Ray tasks, and read without a copy."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from trainyard.data import chunks as chunks_module
from trainyard.data.cache import SharedData, _Lanes, lane_nodes, share
from trainyard.data.dataset import Dataset
from trainyard.data.decode import decode_split
from trainyard.data.loading import plan_data
from trainyard.data.source import Example
from trainyard.data.split import MemorySplit
from trainyard.data.writer import write_dataset
from trainyard.errors import DataError
from trainyard.spec.training import DataSettings

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("ray_nodes")]

ROWS = 1300


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory, encode: Callable[..., bytes]) -> Path:
    """1,300 PNG files to train on in three row groups, 20 to evaluate on."""
    images = np.random.default_rng(0).integers(0, 256, (ROWS + 20, 8, 8), dtype=np.uint8)
    examples = [
        Example(name=f"{row}", split="train" if row < ROWS else "val", image=encode(image), label=row % 3)
        for row, image in enumerate(images)
    ]
    path = tmp_path_factory.mktemp("data") / "pets"
    write_dataset(path, examples, annotation="label", classes=("cat", "dog", "cow"), source="tests")
    return path


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row group each."""
    monkeypatch.setattr(chunks_module, "ENCODED_ROWS", 512)


def shared(path: Path, **data: Any) -> SharedData:
    dataset, settings = Dataset.open(path), DataSettings(path=str(path), **data)
    return share(dataset, settings, plan_data(dataset.manifest, settings, free=1 << 30))


def test_the_rows_are_those_of_the_data_set_in_their_order(pets: Path) -> None:
    references = shared(pets)
    assert len(references.train.chunks) == 3
    data = references.read()
    for split, name in ((data.train, "train"), (data.evaluate, "val")):
        whole = decode_split(Dataset.open(pets), name)
        taken = split.first(ROWS)
        assert all(np.array_equal(taken[column], whole[column]) for column in whole)


def test_chunks_are_read_only_views_of_the_store(pets: Path) -> None:
    references = shared(pets)
    once, again = references.read().train, references.read().train
    assert isinstance(once, MemorySplit)
    assert isinstance(again, MemorySplit)
    for one, other in zip(once.chunks, again.chunks, strict=True):
        assert not one["image"].flags.writeable
        assert np.shares_memory(one["image"], other["image"])


def test_one_split_for_both_is_decoded_once(pets: Path) -> None:
    references = shared(pets, train_split="val")
    assert references.train is references.evaluate
    data = references.read()
    assert data.train is data.evaluate


def test_an_image_that_was_exchanged_is_told_in_plain_words(pets: Path, tmp_path: Path) -> None:
    path = tmp_path / "changed"
    shutil.copytree(pets, path)
    file = path / "train-00000.parquet"
    table = pq.read_table(file)
    images = table["image"].to_pylist()
    images[700] = images[0]
    at = table.column_names.index("image")
    pq.write_table(table.set_column(at, "image", pa.array(images, pa.binary())), file, row_group_size=512)
    references = shared(path, image_size=[9, 9])  # a size of which nothing is on the disk
    with pytest.raises(DataError) as error:
        references.read()
    again = f"Delete {path} and import it again (trainyard data import)."
    expected = f"{path}: the image 700 of split train isn't what was imported: its digest differs. {again}"
    assert str(error.value) == expected
    assert type(error.value) is DataError


def test_rows_that_are_missing_are_told_in_plain_words(pets: Path, tmp_path: Path) -> None:
    path = tmp_path / "changed"
    shutil.copytree(pets, path)
    file = path / "val-00000.parquet"
    pq.write_table(pq.read_table(file).take(pa.array([1, 0, *range(2, 20)])), file)
    with pytest.raises(DataError, match=r"^\S+: the content of split val isn't what was imported"):
        shared(path).read()


def test_a_chunk_outlives_any_number_of_machines(tmp_path: Path) -> None:
    """Ray by itself makes an object anew three times, and that is all there is for a sweep of days."""

    def lost_four_times() -> str:
        file = tmp_path / str(len(list(tmp_path.iterdir())))
        file.touch()
        if file.name != "4":
            os.kill(os.getpid(), signal.SIGKILL)
        return file.name

    assert ray.get(_Lanes([ray.nodes()[0]["NodeID"]]).run(lost_four_times)) == "4"


HEAD = {"NodeID": "head", "Alive": True, "Resources": {"memory": 1e9}}


def test_each_cpu_decodes_where_nodes_have_any() -> None:
    dead = {"NodeID": "dead", "Alive": False, "Resources": {"CPU": 4.0}}
    gpu = {"NodeID": "gpu", "Alive": True, "Resources": {"CPU": 3.0}}
    assert lane_nodes([HEAD, dead, gpu], here="head", cpus=8) == ["gpu"] * 3


def test_a_head_alone_decodes_on_all_that_its_machine_has() -> None:
    assert lane_nodes([HEAD], here="head", cpus=8) == ["head"] * 8
