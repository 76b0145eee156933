"""What tests share: the specs of the README, the digits, and one Ray for all tests that need a cluster."""

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainyard.data.formats import import_dataset
from trainyard.data.manifest import VOID, Annotation
from trainyard.data.source import Boxes, Example
from trainyard.data.writer import write_dataset
from trainyard.spec.job import Job
from trainyard.spec.load import load_job, load_space
from trainyard.spec.space import Space

ROOT = Path(__file__).parent.parent


def pytest_configure() -> None:
    """Before torch is imported: small tensors gain nothing from more threads, and processes share the machine."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no process is left with it at the end."""
    items.sort(key=lambda item: next((rank for rank, name in enumerate(LONG) if item.get_closest_marker(name)), 2))


LONG = ("cluster", "own_cluster")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of several processes, one runs all files with tests on the Ray that they share; each other file is run by one.

    Not by xdist's groups: pytest 9.2 doesn't let it write them into the names of tests.
    """
    from xdist.scheduler import LoadFileScheduling

    class OneRay(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = str(nodeid.split("::", 1)[0])
            return "shared Ray" if _shares_ray(file) else file

    return OneRay(config, log)


@cache
def _shares_ray(file: str) -> bool:
    """file: from the folder of the project on."""
    return "mark.cluster" in (ROOT / file).read_text()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The disk cache of whoever runs the tests is left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAINYARD_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("TRAINYARD_CACHE_GIB", raising=False)
        yield


@pytest.fixture(scope="session")
def digits_job() -> Job:
    """The job of the README."""
    return load_job(ROOT / "jobs" / "digits_cnn.yaml")


@pytest.fixture(scope="session")
def digits_space() -> Space:
    """The space of the README."""
    return load_space(ROOT / "search_spaces" / "digits.yaml")


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits as a data set."""
    path = tmp_path_factory.mktemp("data") / "digits"
    import_dataset("digits", path)
    return path


@pytest.fixture(scope="session")
def ray_nodes() -> Iterator[list[dict[str, float]]]:
    """The nodes of a Ray with two CPUs, which all cluster tests share: starting one takes 5 s."""
    from trainyard.cluster.session import connected

    with connected(cpus=2) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Annotation], Path]:
    """shapes("mask") or shapes("boxes"): data sets of 16 + 6 images of 24x32 pixels, red and green boxes on noise.

    Of three classes ground is everywhere, red in each image and green in every third; the upper rows of a mask are
    void. The images are called red-0.png, red-1.png, ...
    """
    places = {annotation: tmp_path_factory.mktemp("shapes") / annotation for annotation in ("mask", "boxes")}

    def path(annotation: Annotation) -> Path:
        place = places[annotation]
        if not place.exists():
            write_dataset(
                place, _shapes(annotation), annotation=annotation, classes=("ground", "red", "green"), source="tests"
            )
        return place

    return path


def _shapes(annotation: Annotation) -> Iterator[Example]:
    random = np.random.default_rng(0)
    for row in range(22):
        image = random.integers(0, 60, (24, 32, 3)).astype(np.uint8)
        mask = np.zeros((24, 32), np.uint8)
        mask[:3] = VOID
        corners = []
        for label in (1, 2) if row % 3 == 0 else (1,):
            left, top = 2 + 14 * (label - 1) + row % 3, 5 + row % 4
            image[top : top + 12, left : left + 10, label - 1] = 220
            mask[top : top + 12, left : left + 10] = label
            corners.append([left, top, left + 10, top + 12])
        labels = np.arange(1, len(corners) + 1)
        boxes = Boxes(corners=np.array(corners, float), labels=labels, crowd=np.zeros(len(corners), bool))
        yield Example(
            name=f"images/red-{row}.png",
            split="train" if row < 16 else "val",
            image=image,
            mask=mask if annotation == "mask" else None,
            boxes=boxes if annotation == "boxes" else None,
        )
