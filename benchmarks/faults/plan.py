"""The plan of a chaos run: what is killed, and when. A function of its seed.

Moments are counted in epochs that the sweep has reported, not in seconds, so that one plan means the same on a slow and
on a fast machine.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

KINDS = {
    "worker": "a worker of a crew",
    "slot": "the process of a slot, which without crews trains itself",
    "node": "a raylet with all its processes; another one takes its place after a while",
    "notice": "a raylet with all its processes, some seconds after the cluster was told that its node will leave",
    "driver": "the driver; the sweep is resumed at once",
}

NOTICE_SECONDS = 20.0
"""From the notice to the end of a node. Clouds give 30 to 120."""

FIRST, LAST = 0.08, 0.85
"""Between these shares of all epochs there are kills: before, slots still start; after, little is left to lose."""


@dataclass(frozen=True, kw_only=True)
class Kill:
    """One kill. at: as soon as so many epochs have been reported in all.

    delay: seconds more, so that it comes anywhere within an epoch. pick: which of the candidates, from 0 to below 1.
    vacancy: seconds until a node that was killed is replaced; None: it is not.
    """

    number: int
    kind: str
    at: int
    delay: float
    pick: float
    vacancy: float | None


def make_plan(
    *, seed: int, kills: int, kinds: Sequence[str], epochs: int, epoch_seconds: float, replaced: bool = True
) -> tuple[Kill, ...]:
    """So many kills over a sweep of so many epochs, each kind as often as the others, in an order drawn by the seed.

    replaced: whether another node comes for each that was killed.
    """
    draw = random.Random(seed)
    rounds = [draw.sample(list(kinds), len(kinds)) for _ in range(-(-kills // len(kinds)))]
    order = [kind for kinds_of_round in rounds for kind in kinds_of_round][:kills]
    width = (LAST - FIRST) / max(kills, 1)
    return tuple(
        Kill(
            number=number,
            kind=kind,
            at=max(1, round(epochs * (FIRST + width * (number + draw.random())))),
            delay=draw.uniform(0.0, epoch_seconds),
            pick=draw.random(),
            vacancy=draw.uniform(0.0, 8.0) if replaced else None,
        )
        for number, kind in enumerate(order)
    )
