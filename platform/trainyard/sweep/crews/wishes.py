"""What a crew asks an autoscaling cluster for: places on machines that are still to be started.

A wish is a placement group: Ray's autoscaler hears of it as of any other, and it ends with its driver. It is for none
of the machines that are there, so it takes nothing away from a crew that is forming on them; for what they have free
crews look by themselves. Once it comes true it holds its places until the crew forms anew: nobody else takes them, and
the machine is not given back as an idle one, however long the epoch under way may be.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group


class Wishes:
    """Those of one crew. Used by Ray Train's controller."""

    def __init__(self, name: str, each: Mapping[str, float]) -> None:
        """name: what those of its placement groups begin with. each: the resources of a worker."""
        self._name = name
        self._each = dict(each)
        self._open: list[PlacementGroup] = []
        self._true: list[PlacementGroup] = []
        self._asked: tuple[list[int], set[str]] = [], set()

    def held(self, nodes: Collection[str]) -> list[str]:
        """On which of these nodes wishes hold places, each as often as it has such places."""
        wishes = [*self._open, *self._true]
        known = placement_group_table() if wishes else {}
        where = {wish: _places_of(known.get(wish.id.hex(), {})) for wish in wishes}
        self._true = [wish for wish in wishes if where[wish] and set(nodes).issuperset(where[wish])]
        self._open = [wish for wish in wishes if wish not in self._true]
        return [node for wish in self._true for node in where[wish]]

    def ask(self, sizes: Sequence[int], nodes: Collection[str]) -> None:
        """Wish for machines beside these nodes, for each size one with so many places. Of what was wished for before
        only that stays which has come true."""
        if (asked := (list(sizes), set(nodes))) == self._asked:
            return
        self._asked = asked
        _remove(self._open)
        self._open = [self._wish(size, nodes) for size in sizes]

    def _wish(self, size: int, nodes: Collection[str]) -> PlacementGroup:
        elsewhere = {"ray.io/node-id": f"!in({','.join(sorted(nodes))})"} if nodes else {}
        return placement_group(
            bundles=[self._each] * size,
            strategy="STRICT_PACK",
            name=f"{self._name}-wish-{uuid.uuid4().hex}",
            bundle_label_selector=[elsewhere] * size,
        )

    def give_back(self) -> None:
        """Free the places that are held."""
        _remove(self._true)
        self._true = []

    def end(self) -> None:
        """Wish for nothing any more."""
        self.ask([], ())
        self.give_back()


def _places_of(entry: Mapping[str, Any]) -> list[str]:
    """The node of each of its places; none while they are not there."""
    return list(entry["bundles_to_node_id"].values()) if entry.get("state") == "CREATED" else []


def _remove(wishes: Iterable[PlacementGroup]) -> None:
    for wish in wishes:
        remove_placement_group(wish)
