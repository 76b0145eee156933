"""What an autoscaler may start. Ray's own (2.60) tells nobody what it knows.

So it is read where it was declared: in the file of Ray's cluster launcher, which lies on the head that `ray up` made,
and that TRAINYARD_CLUSTER_FILE names anywhere else (on Kubernetes, or where the driver is on another machine).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from trainyard.errors import UsageError

VARIABLE = "TRAINYARD_CLUSTER_FILE"

BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` puts the file on the head, with what it found out about the kinds of machines."""

DEFAULT_MOST = 2
"""Machines beside the head, of a file that does not say how many."""


MOST_STORE = 200e9
"""Bytes of an object store that Ray makes by itself, at the most."""


@dataclass(frozen=True, kw_only=True)
class NodeGroup:
    """A kind of node. most: so many of them at a time."""

    name: str
    resources: Mapping[str, float]
    most: int


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The kinds of nodes that an autoscaler may start, and how many of all kinds together; none without one."""

    groups: tuple[NodeGroup, ...] = ()
    most: int = 0


def declared_groups() -> Groups:
    """What the connected cluster may start, by the file of its launcher.

    UsageError where the named one is another, or says of a kind of node neither CPUs nor GPUs.
    """
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else BOOTSTRAP.expanduser()
    try:
        found = _read(path, path.stat().st_mtime_ns)
    except (OSError, YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        if not named:
            return Groups()
        reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise UsageError(
            f"{VARIABLE}={named}: must be a file of Ray's cluster launcher, with available_node_types ({reason})."
        ) from error
    if named:
        _require_resources(found, named)
    return found


def _require_resources(found: Groups, named: str) -> None:
    """`ray up` finds them out by the kind of machine, and writes them into its copy on the head only."""
    for group in found.groups:
        if group.most and not {"CPU", "GPU"} & group.resources.keys():
            raise UsageError(
                f"{VARIABLE}={named}: {group.name} has neither CPUs nor GPUs. Say what Ray offers on such a node, "
                "as in resources: {CPU: 8, GPU: 1}."
            )


@lru_cache(maxsize=1)
def _read(path: Path, _changed: int) -> Groups:
    with path.open() as file:
        return groups_of(YAML(typ="safe").load(file))


def groups_of(declared: Mapping[str, Any]) -> Groups:
    """The groups of a file of Ray's cluster launcher (`available_node_types`), the head's own left out."""
    most = int(declared.get("max_workers", DEFAULT_MOST))
    kinds = declared["available_node_types"]
    groups = tuple(
        NodeGroup(
            name=name,
            resources=_with_store({key: float(value) for key, value in kind.get("resources", {}).items()}),
            most=int(kind.get("max_workers", most)),
        )
        for name, kind in kinds.items()
        if name != declared.get("head_node_type")
    )
    return Groups(groups=groups, most=most)


def _with_store(resources: dict[str, float]) -> dict[str, float]:
    """With the object store that Ray will make: 3/10 of a machine's memory, of which `memory` is what is left."""
    if "memory" not in resources:
        return resources
    return {"object_store_memory": min(resources["memory"] * 3 / 7, MOST_STORE), **resources}
