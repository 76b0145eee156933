"""Which nodes a cluster has, and which it may start: no Ray here."""

from pathlib import Path

import pytest

from trainyard.cluster.groups import Groups, NodeGroup, declared_groups, groups_of
from trainyard.cluster.nodes import ClusterState, NodeState
from trainyard.errors import UsageError

GPU = {"CPU": 8.0, "GPU": 1.0}
HEAD = NodeState(id="head", resources={"CPU": 0.0, "node:__internal_head__": 1.0})


def node(name: str, group: str = "", leaving: bool = False) -> NodeState:
    return NodeState(id=name, resources={**GPU, "memory": 1e9}, group=group, leaving=leaving)


def groups(most: int, **kinds: int) -> Groups:
    return Groups(
        groups=tuple(NodeGroup(name=name, resources=GPU, most=count) for name, count in kinds.items()), most=most
    )


def gpus(state: ClusterState) -> float:
    return sum(place.get("GPU", 0.0) for place in state.places())


def test_a_cluster_without_autoscaler_has_the_nodes_that_it_has() -> None:
    assert gpus(ClusterState(nodes=(HEAD, node("a"), node("b")))) == 2


def test_a_head_alone_may_start_workers_from_zero() -> None:
    assert gpus(ClusterState(nodes=(HEAD,), groups=groups(8, gpu=4))) == 4


def test_nodes_that_are_there_count_once() -> None:
    labelled = ClusterState(nodes=(HEAD, node("a", "gpu")), groups=groups(8, gpu=4))
    unlabelled = ClusterState(nodes=(HEAD, node("a")), groups=groups(8, gpu=4))
    assert gpus(labelled) == gpus(unlabelled) == 4


def test_unlabelled_nodes_fill_groups_of_the_same_kind_one_after_the_other() -> None:
    nodes = tuple(node(name) for name in "abcdef")
    assert gpus(ClusterState(nodes=(HEAD, *nodes), groups=groups(8, gpu=2, spot=4))) == 6
    assert gpus(ClusterState(nodes=(HEAD, *nodes[:3]), groups=groups(8, gpu=2, spot=4))) == 6
    assert gpus(ClusterState(nodes=(HEAD, node("g", "gpu"), *nodes), groups=groups(8, gpu=2, spot=4))) == 7


def test_all_groups_together_stay_within_the_limit_of_the_cluster() -> None:
    assert gpus(ClusterState(nodes=(HEAD, node("a", "gpu")), groups=groups(5, gpu=4, spot=4))) == 5


def test_a_node_that_leaves_is_replaced_where_there_is_an_autoscaler() -> None:
    nodes = (HEAD, node("a", "gpu"), node("b", "gpu", leaving=True))
    assert gpus(ClusterState(nodes=nodes)) == 1
    assert gpus(ClusterState(nodes=nodes, groups=groups(2, gpu=2))) == 2
    assert ClusterState(nodes=nodes).leaving == {"b"}


def test_a_node_of_another_kind_takes_no_groups_place() -> None:
    other = NodeState(id="a", resources={"CPU": 64.0}, group="by hand")
    assert gpus(ClusterState(nodes=(HEAD, other), groups=groups(2, gpu=2))) == 2


LAUNCHER = """
max_workers: 8
head_node_type: head
available_node_types:
  head: {resources: {CPU: 0}, node_config: {}}
  gpu: {resources: {CPU: 8, GPU: 1}, node_config: {}, max_workers: 4}
  small: {resources: {CPU: 4}, node_config: {}}
"""


def test_the_file_of_the_launcher_says_what_may_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cluster.yaml").write_text(LAUNCHER)
    monkeypatch.setenv("TRAINYARD_CLUSTER_FILE", str(tmp_path / "cluster.yaml"))
    declared = declared_groups()
    assert declared.most == 8
    assert {group.name: (group.resources, group.most) for group in declared.groups} == {
        "gpu": ({"CPU": 8.0, "GPU": 1.0}, 4),
        "small": ({"CPU": 4.0}, 8),
    }


def test_what_a_node_will_cache_follows_from_its_memory() -> None:
    kind = {"resources": {"CPU": 8, "memory": 70e9}}
    (group,) = groups_of({"head_node_type": "head", "available_node_types": {"head": {}, "gpu": kind}}).groups
    assert group.resources["object_store_memory"] == pytest.approx(30e9)


def test_without_a_file_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAINYARD_CLUSTER_FILE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert declared_groups() == Groups()


@pytest.mark.parametrize("content", ["workers: 3", "- a list", "a: b: c", None])
def test_a_named_file_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    path = tmp_path / "cluster.yaml"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("TRAINYARD_CLUSTER_FILE", str(path))
    with pytest.raises(UsageError, match=f"TRAINYARD_CLUSTER_FILE={path}: must be a file of Ray's cluster launcher"):
        declared_groups()


def test_a_kind_of_node_without_resources_is_told_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a file for AWS, where the machine's kind says them. One of which there are none is as good as left out."""
    path = tmp_path / "cluster.yaml"
    kinds = "small: {resources: {CPU: 4}}, gpu: {resources: {}, max_workers: 4}, spot: {max_workers: 0}"
    path.write_text(f"{{head_node_type: head, available_node_types: {{head: {{}}, {kinds}}}}}")
    monkeypatch.setenv("TRAINYARD_CLUSTER_FILE", str(path))

    with pytest.raises(UsageError) as refused:
        declared_groups()

    assert str(refused.value) == (
        f"TRAINYARD_CLUSTER_FILE={path}: gpu has neither CPUs nor GPUs. Say what Ray offers on such a node, as in "
        "resources: {CPU: 8, GPU: 1}."
    )
    path.write_text(path.read_text().replace("gpu: {resources: {}", "gpu: {resources: {GPU: 1}"))
    assert [group.name for group in declared_groups().groups] == ["small", "gpu", "spot"]


def test_the_shipped_file_is_read() -> None:
    from ruamel.yaml import YAML

    shipped = Path(__file__).parents[2] / "cluster.yaml"
    read = groups_of(YAML(typ="safe").load(shipped))
    assert read.groups
    assert read.most > 0
