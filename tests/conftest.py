"""What tests share: the specs of the README, the digits, and one Ray for all tests that need a cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from trainyard.data.formats import import_dataset
from trainyard.spec.job import Job
from trainyard.spec.load import load_job, load_space
from trainyard.spec.space import Space

ROOT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several processes, one runs all tests that need a cluster, on the Ray that they share; and each other file is
    run by one."""
    for item in items:
        needs_ray = item.get_closest_marker("cluster") or "ray_nodes" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("ray" if needs_ray else str(item.path)))


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
