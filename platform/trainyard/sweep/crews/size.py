"""How many workers a crew is to have, from what the nodes have left. Pure functions of numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Room = Mapping[str, float]
"""What a node has left: {"CPU": 3.0, "GPU": 1.0}."""

LONGEST_WAIT = 600.0
"""Seconds of patience, however often there was less room than it seemed."""


@dataclass(frozen=True, kw_only=True)
class CrewSize:
    """What decides the size of a crew. each: the resources of a worker. together: all of them on one node.

    share: for how many workers the cluster's autoscaler may be asked; 0: there is none.
    """

    least: int
    most: int
    each: Mapping[str, float]
    together: bool = False
    share: int = 0

    @property
    def elastic(self) -> bool:
        return self.least < self.most

    def within(self, nodes: Sequence[Room]) -> int:
        """As many workers as the nodes have room for, but no more than `most`.

        Where they have room for fewer than `least` it is `least`: the crew waits for that much, and an autoscaling
        cluster hears what it waits for. It may be too many: half of one GPU and half of another look like a whole one.
        """
        places = [self._places(node) for node in nodes]
        fitting = max(places, default=0) if self.together else sum(places)
        return max(self.least, min(fitting, self.most))

    def wishes(self, workers: int) -> list[int]:
        """For how many workers each further machine should have room, where there is room for so many workers."""
        if not self.elastic or workers >= self.share:
            return []
        return [self.share] if self.together else [1] * (self.share - workers)

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


class Growth:
    """How many workers a crew is to ask for, and when to grow, after what became of what it asked for before.

    A group that does not come up is asked for with a worker fewer, and the crew has twice the patience from then on,
    until one comes up as it was asked for at first.
    """

    def __init__(self, size: CrewSize, seconds: float) -> None:
        """seconds: the patience at first."""
        self._size = size
        self._seconds = seconds
        self._wait = seconds
        self._asked: int | None = None
        self._failed = False
        self._patience = Patience(seconds)

    def ask(self, nodes: Sequence[Room]) -> int:
        """The size of the group that is to be made. One that was asked for and has not been seen since has failed."""
        workers = self._size.within(nodes)
        if self._asked is not None and (self._failed or self._asked > self._size.least):
            workers = max(self._size.least, min(workers, self._asked - 1))
            if not self._failed:
                self._failed, self._wait = True, min(2 * self._wait, LONGEST_WAIT)
        self._asked = workers
        return workers

    def could_be(self, now: float, *, size: int, nodes: Sequence[Room]) -> int:
        """To how many workers the group of this size, which is running, should grow; 0 where it should not.

        now: in seconds. nodes: with what its own workers have.
        """
        if self._asked is not None:  # its first look since it has come up: what there was before it is no matter
            if not self._failed:
                self._wait = self._seconds
            self._asked, self._failed, self._patience = None, False, Patience(self._wait)
        could_be = self._size.within(nodes)
        return could_be if self._patience.over(now, size=size, could_be=could_be) else 0
