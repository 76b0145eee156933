"""What all machines must see is recognised by what is in it; who does not see it is named before anything starts."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainyard.cluster.storage import Shared, require_shared
from trainyard.data.location import Location
from trainyard.errors import UsageError


@pytest.fixture
def sweep(tmp_path: Path) -> Location:
    place = Location.of(tmp_path / "results" / "s")
    (place / "job.yaml").write_bytes(b"name: s\n")
    return place


@pytest.fixture
def data(tmp_path: Path) -> Location:
    place = Location.of(tmp_path / "data")
    (place / "manifest.json").write_bytes(b"{}")
    return place


def test_a_machine_that_sees_all_has_no_trouble_and_leaves_nothing(sweep: Location, data: Location) -> None:
    assert [Shared.results(sweep).trouble(), Shared.data_set(data).trouble()] == ["", ""]
    assert os.listdir(sweep.path) == ["job.yaml"]
    assert os.listdir(data.path) == ["manifest.json"]


def test_a_folder_that_is_not_there(data: Location) -> None:
    shared = Shared.data_set(data)
    data.delete()
    assert shared.trouble() == "no such file or directory"


def test_another_folder_of_that_name(sweep: Location) -> None:
    shared = Shared.results(sweep)
    (sweep / "job.yaml").write_bytes(b"name: other\n")
    assert shared.trouble() == "another one is there"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(sweep: Location, data: Location) -> None:
    shared = Shared.results(sweep), Shared.data_set(data)
    for place in (sweep, data):
        Path(place.path).chmod(0o555)
    assert [place.trouble() for place in shared] == ["permission denied", ""]


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[None]:
    import ray
    from ray.cluster_utils import Cluster

    store = 80 << 20
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": store, "include_dashboard": False}
    )
    cluster.add_node(num_cpus=1, object_store_memory=store)
    ray.init(address=cluster.address, log_to_driver=False)
    yield
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.slow
def test_machines_that_train_are_asked(two_nodes: None, sweep: Location, data: Location) -> None:
    shared = [Shared.results(sweep), Shared.data_set(data)]
    require_shared(shared)
    (data / "manifest.json").delete()
    (sweep / "job.yaml").write_bytes(b"name: other\n")

    with pytest.raises(UsageError) as told:
        require_shared(shared)

    lines = str(told.value).splitlines()
    assert lines[0] == f"{sweep}: a machine of the cluster does not see the results:", "the head does not train"
    assert lines[1].endswith(": another one is there")
    assert lines[3] == f"{data}: a machine of the cluster does not see the data set:"
    assert lines[4].endswith(": no such file or directory")
    assert lines[-1] == "Nothing was started."
