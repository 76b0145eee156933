"""Points that are fixed before a search begins: those to start from, and every combination of a finite space."""

from itertools import islice
from typing import Any

from trainyard.spec.grid import grid
from trainyard.spec.job import Job
from trainyard.spec.search import Grid
from trainyard.spec.space import Space


def fixed_points(space: Space, job: Job) -> list[dict[str, Any]]:
    """The dimensions of the points to try first: `search.start_from`, then a grid's; no more than `search.trials`."""
    points = [space.dims_from(point) for point in space.search.start_from][: space.search.trials]
    if isinstance(space.search.sampler, Grid):
        others = (point for point in grid(space, job) if point not in points)
        points += islice(others, space.search.trials - len(points))
    return points


def trial_count(space: Space, job: Job) -> int:
    """How many trials a sweep has: as many as wanted, or as a grid has points."""
    return len(fixed_points(space, job)) if isinstance(space.search.sampler, Grid) else space.search.trials
