"""Every combination of the values of a finite space."""

from collections.abc import Iterator
from typing import Any

from trainyard.spec.dimension import Dimension
from trainyard.spec.job import Job
from trainyard.spec.space import Space


def grid(space: Space, job: Job) -> Iterator[dict[str, Any]]:
    """The dimensions of each point, the last dimension changing fastest.

    Conditions are obeyed: a dimension of no effect does not multiply the points. The space was checked to be finite.
    """
    # Which value of each dimension asked for: an odometer whose number of wheels depends on where they stand.
    wheels: list[int] = []
    while True:
        sizes: list[int] = []
        yield dict(space.resolve(job, lambda dim: _turn(dim, wheels, sizes)).dims)  # noqa: B023  (called at once)
        while wheels and wheels[-1] + 1 == sizes[len(wheels) - 1]:
            wheels.pop()
        if not wheels:
            return
        wheels[-1] += 1


def _turn(dim: Dimension, wheels: list[int], sizes: list[int]) -> Any:
    points = dim.points
    assert points is not None, f"{dim.name} has no end of values"
    place = len(sizes)
    sizes.append(len(points))
    if place == len(wheels):
        wheels.append(0)
    return points[wheels[place]]
