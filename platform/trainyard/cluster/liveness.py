"""Which machines of the connected cluster are there, without the 15 s after which Ray notices that one is not.

Imported by every slot and worker: nothing beside Ray.
"""

import socket
from collections.abc import Collection, Mapping
from typing import Any

import ray
from ray._private.state import state

ANSWER_SECONDS = 1.0
"""A machine that takes no connection in this time is gone."""


def living_nodes() -> frozenset[str]:
    """The ids of the nodes whose raylet takes a connection. One that is gone without a word costs a second."""
    return frozenset(node for node, entry in _known().items() if _answers(entry))


def leaving_nodes() -> frozenset[str]:
    """The ids of the nodes that were told to go (draining)."""
    try:
        return frozenset(state.get_draining_nodes())
    except ray.exceptions.RaySystemError:  # by ray://, which does not tell
        return frozenset()


def gone_or_going(nodes: Collection[str]) -> bool:
    """Whether any of these nodes is dead, silent, or was told to go: what died there did so by no fault of its own.

    Takes up to ANSWER_SECONDS for each that is silent.
    """
    known = _known()
    try:
        leaving = state.get_draining_nodes()
    except ray.exceptions.RaySystemError:  # by ray://, from where the machines themselves may be out of reach
        return not known.keys() >= set(nodes)
    return any(node not in known or node in leaving or not _answers(known[node]) for node in nodes)


def _known() -> dict[str, Mapping[str, Any]]:
    """The nodes that Ray takes to be alive, by their ids."""
    return {str(node["NodeID"]): node for node in ray.nodes() if node["Alive"]}


def _answers(node: Mapping[str, Any]) -> bool:
    try:
        with socket.create_connection((node["NodeManagerAddress"], node["NodeManagerPort"]), timeout=ANSWER_SECONDS):
            return True
    except OSError:
        return False
