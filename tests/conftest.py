"""What tests share: the specs of the README, the digits, and one Ray for all tests that need a cluster."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

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


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several processes, one runs all tests on the Ray that they share, and each other file is run by one.

    What takes longest comes first, so that no process is left with it at the end: those on the shared Ray, then those
    that start a Ray of their own.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group("ray" if _shares_ray(item) else str(item.path)))
    items.sort(key=lambda item: (not _shares_ray(item), item.get_closest_marker("cluster") is None))


def _shares_ray(item: pytest.Item) -> bool:
    """Whether a test uses the fixture, by itself or through another; a Ray of its own doesn't count."""
    return "ray_nodes" in getattr(item, "fixturenames", ())


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
