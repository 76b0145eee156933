"""Work over the CPUs of a cluster."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainyard.cluster.mapping import over_cluster
from trainyard.data.formats import import_dataset, open_source
from trainyard.data.importing.run import import_source
from trainyard.data.location import Location
from trainyard.data.source import ImportOptions
from trainyard.errors import DataError

pytestmark = pytest.mark.cluster


def times(factor: int, item: int) -> int:
    if item == 13:
        raise DataError("13 is refused.")
    return factor * item


def test_each_item_has_one_result(ray_nodes: list[dict[str, float]]) -> None:
    assert sorted(over_cluster(partial(times, 3), list(range(10)))) == list(range(0, 30, 3))


def test_what_an_item_raises_arrives_as_it_is(ray_nodes: list[dict[str, float]]) -> None:
    with pytest.raises(DataError, match=r"^13 is refused\.$"):
        list(over_cluster(partial(times, 3), [13]))


def test_an_import_over_the_cluster_makes_the_same_data_set(tmp_path: Path, ray_nodes: list[dict[str, float]]) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for index in range(10):
            pixels = np.full((4, 4, 3), index * 20 + len(name), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{index}.png")
    alone = import_dataset("image_folder", tmp_path / "alone", tmp_path / "images")

    source = open_source("image_folder", Location.of(tmp_path / "images"), ImportOptions())
    together = import_source(source, Location.of(tmp_path / "together"), format_name="image_folder", run=over_cluster)

    assert together == alone
