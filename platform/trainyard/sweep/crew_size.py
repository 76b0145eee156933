"""How many workers a crew is to have, from what the nodes have left. Pure functions of numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Room = Mapping[str, float]
"""What a node has left: {"CPU": 3.0, "GPU": 1.0}."""


@dataclass(frozen=True, kw_only=True)
class CrewSize:
    """What decides the size of a crew. each: the resources of a worker. together: all of them on one node."""

    least: int
    most: int
    each: Mapping[str, float]
    together: bool = False

    @property
    def elastic(self) -> bool:
        return self.least < self.most

    def within(self, nodes: Sequence[Room]) -> int:
        """As many workers as the nodes have room for, but no more than `most`.

        Where they have room for fewer than `least` it is `least`: the crew waits for that much, and an autoscaling
        cluster hears what it waits for.
        """
        places = [self._places(node) for node in nodes]
        fitting = max(places, default=0) if self.together else sum(places)
        return max(self.least, min(fitting, self.most))

    def _places(self, node: Room) -> int:
        # Rounded first, since resources are sums of fractions.
        return int(
            min(
                (math.floor(round(node.get(name, 0.0) / amount, 6)) for name, amount in self.each.items() if amount),
                default=self.most,
            )
        )


class Patience:
    """Whether a crew should grow: not before there has been room for more workers for `seconds` without a break.

    Room that has just come up may be meant for another crew that is being started.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: float | None = None

    def over(self, now: float, *, size: int, could_be: int) -> bool:
        """now: in seconds. size: of the crew as it is."""
        if could_be <= size:
            self._since = None
            return False
        self._since = now if self._since is None else self._since
        return now - self._since >= self._seconds
