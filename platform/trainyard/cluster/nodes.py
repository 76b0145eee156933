"""The nodes of a cluster: those that are there, those that are about to leave, those that it may still start.

`ClusterState` is pure; the functions below it ask the connected Ray.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from trainyard.cluster.groups import Groups, NodeGroup, declared_groups

STORE = "object_store_memory"

NO_LIMIT = 1000
"""Nodes of a group of which any number may be started."""

Resources = Mapping[str, float]
"""As Ray counts them: {"CPU": 16, "GPU": 1}; `object_store_memory` is what the node's store has free, in bytes."""


@dataclass(frozen=True, kw_only=True)
class NodeState:
    """A living node. group: the name of the group that an autoscaler started it for. leaving: told to go (draining)."""

    id: str
    resources: Resources
    group: str = ""
    leaving: bool = False


@dataclass(frozen=True, kw_only=True)
class ClusterState:
    """A cluster at one moment. groups: what its autoscaler may start."""

    nodes: tuple[NodeState, ...] = ()
    groups: Groups = field(default_factory=Groups)

    @property
    def leaving(self) -> frozenset[str]:
        """The ids of the nodes that are about to go: nothing new is placed there."""
        return frozenset(node.id for node in self.nodes if node.leaving)

    @property
    def grows(self) -> bool:
        """Whether it has an autoscaler of which is known what it may start."""
        return bool(self.groups.groups)

    def places(self) -> list[Resources]:
        """The resources of each node that stays, and of each that may still be started."""
        return [dict(node.resources) for node in self.nodes if not node.leaving] + self._startable()

    def _startable(self) -> list[Resources]:
        there = self._started()
        room = self.groups.most - there.total()
        places: list[Resources] = []
        for group in self.groups.groups:
            places += [dict(group.resources)] * max(0, min(group.most - there[group.name], room - len(places)))
        return places

    def _started(self) -> Counter[str]:
        """Nodes by group: by their labels, or where those say nothing by their CPUs and GPUs."""
        # One that is leaving makes room for another of its group.
        staying = [node for node in self.nodes if not node.leaving]
        names = {group.name for group in self.groups.groups}
        started = Counter(node.group for node in staying if node.group in names)
        for node in staying:
            if node.group not in names and "node:__internal_head__" not in node.resources:
                alike = [group for group in self.groups.groups if _alike(group, node)]
                # Groups that are alike are filled one after the other.
                started.update([group.name for group in alike if started[group.name] < group.most][:1])
        return started


def _alike(group: NodeGroup, node: NodeState) -> bool:
    return all(group.resources.get(kind, 0.0) == node.resources.get(kind, 0.0) for kind in ("CPU", "GPU"))


def read_cluster(*, grows: bool = True) -> ClusterState:
    """The connected cluster, now. grows: whether it may have an autoscaler; the Ray of one command has none."""
    import ray

    from trainyard.cluster.liveness import leaving_nodes

    free, leaving = _free_stores(), leaving_nodes()
    nodes = tuple(
        NodeState(
            id=node["NodeID"],
            resources={**node["Resources"], STORE: free.get(node["NodeID"], node["Resources"].get(STORE, 0.0))},
            group=node.get("Labels", {}).get("ray.io/node-group", ""),
            leaving=node["NodeID"] in leaving,
        )
        for node in ray.nodes()
        if node["Alive"]
    )
    return ClusterState(nodes=nodes, groups=(_reported_groups() or declared_groups()) if grows else Groups())


def died_with_its_node(actor: str) -> bool:
    """Whether the node of an actor that is dead is gone, too, or about to go; False where Ray does not know it.

    Takes up to a second.
    """
    import ray
    from ray._private.state import actors

    from trainyard.cluster.liveness import gone_or_going

    try:
        node = actors(actor)["Address"]["NodeID"]
    except (ray.exceptions.RaySystemError, KeyError, TypeError, ValueError):  # by ray://, or long forgotten
        return False
    return bool(node) and gone_or_going({node})


def _free_stores() -> dict[str, float]:
    import ray
    from ray._private.state import available_resources_per_node

    try:
        return {node: free.get(STORE, 0.0) for node, free in available_resources_per_node().items()}
    except ray.exceptions.RaySystemError:  # by ray://, which knows only what there is in all
        return {}


def _reported_groups() -> Groups | None:
    """What the autoscaler told Ray that it may start. Ray's own (2.60) doesn't; others', and maybe later ones, do."""
    import ray
    from ray._private.state import state

    try:
        config = state.get_cluster_config()
    except ray.exceptions.RaySystemError:  # by ray://
        return None
    if config is None or not config.node_group_configs:
        return None
    groups = tuple(
        NodeGroup(
            name=group.name,
            resources={kind: float(count) for kind, count in group.resources.items()},
            most=group.max_count if group.max_count >= 0 else NO_LIMIT,
        )
        for group in config.node_group_configs
    )
    return Groups(groups=groups, most=sum(group.most for group in groups))
