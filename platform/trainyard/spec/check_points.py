"""Tries points of a space: its extremes, random ones and those it starts from must all make valid jobs."""

import random
from collections.abc import Iterator, Mapping
from math import isclose
from typing import Any

from trainyard.spec.dimension import Dimension
from trainyard.spec.distributions import Categorical, Simplex, same
from trainyard.spec.fields import kinds_at, labels, put_all, section_at
from trainyard.spec.fitting import extraction_flaws
from trainyard.spec.hints import close, listing
from trainyard.spec.job import Job
from trainyard.spec.scalars import number, show, write
from trainyard.spec.section import Flaw, Path, dotted, touches
from trainyard.spec.space import Sample, Space

SAMPLES = 100
"""Random points that are tried."""

_ATTEMPTS = 200
"""Random points among which one is looked for in which a dimension's `when` holds."""


def point_flaws(job: Job, space: Space) -> list[Flaw]:
    """What makes no valid job: each end of each dimension with the others at their middle, then random points.

    A parameter whose ends are wrong isn't blamed again for random points.
    """
    misplaced: dict[Path, Flaw] = {}
    flaws: list[Flaw] = []
    for at, sample in _points(job, space):
        wrong = _misplaced(job, sample.values)
        misplaced |= {flaw.path: flaw for flaw in wrong}
        lost = {dotted(flaw.path) for flaw in wrong}
        point, judged = job.judge({path: value for path, value in sample.values.items() if path not in lost})
        judged = judged if point is None else list(extraction_flaws(job, point))
        for flaw in judged:
            blamed = [name for name in space.parameters if _blamed(space, flaw, name)]
            if at and (at[1] in blamed or not blamed):
                flaws.append(Flaw(at, f"{dotted(at)}: {flaw.message}"))
            elif not at and blamed and not {other.path[1] for other in flaws} & set(blamed):
                flaws.append(Flaw(("parameters", blamed[0]), f"at a random point: {flaw.message}"))
    return [*(Flaw(("parameters", dotted(flaw.path)), flaw.message) for flaw in misplaced.values()), *flaws]


def _points(job: Job, space: Space) -> Iterator[tuple[Path, Sample]]:
    """The points that are tried; those at the end of a dimension with the place where that end is written."""
    for dimension in space.dimensions():
        for at, value in _ends(dimension):
            sample = _with(job, space, dimension, value)
            if sample is not None:
                yield at, sample
    generator = random.Random(0)
    for _ in range(SAMPLES):
        yield (), space.resolve(job, lambda dimension: dimension.draw(generator))


def _ends(dimension: Dimension) -> list[tuple[Path, Any]]:
    """The extreme values of a dimension and where each is written."""
    at: Path = ("parameters", dimension.parameter)
    if dimension.name != dimension.parameter:
        corners = dimension.choices or (dimension.low, dimension.high)
        return [((*at, "over"), corners[0]), ((*at, "over"), corners[-1])]
    if dimension.kind == "categorical":
        return [((*at, "choices", index), choice) for index, choice in enumerate(dimension.choices)]
    return [((*at, "low"), dimension.low), ((*at, "high"), dimension.high)]


def _with(job: Job, space: Space, fixed: Dimension, value: Any) -> Sample | None:
    """The point with one dimension given and the others at their middle, or at random where its `when` wants them."""
    generator = random.Random(0)
    for attempt in range(_ATTEMPTS):

        def suggest(dimension: Dimension, at_random: bool = attempt > 0) -> Any:
            if dimension.name == fixed.name:
                return value
            return dimension.draw(generator) if at_random else dimension.middle

        sample = space.resolve(job, suggest)
        if fixed.name in sample.dims:
            return sample
    return None


def _misplaced(job: Job, values: Mapping[str, Any]) -> list[Flaw]:
    """Settings of another optimizer, schedule, ... than the one that is named."""
    data = job.to_dict()
    put_all(Job, data, {path: value for path, value in values.items() if path.endswith(".name")})
    flaws: list[Flaw] = []
    for path in values:
        *section, last = path.split(".")
        kinds, kind = kinds_at(Job, data, tuple(section)), section_at(Job, data, tuple(section))
        owners = [label for other in kinds if last in other.model_fields for label in labels(other)]
        if kind and labels(kind) and owners and last not in kind.model_fields:
            only = write(owners if len(owners) > 1 else owners[0])
            message = f"{path} is no setting of {listing(labels(kind))}, only of {listing(owners, last='and')}."
            flaws.append(Flaw((*section, last), f"{message} Add when: {{{'.'.join(section)}.name: {only}}}."))
    return flaws


def _blamed(space: Space, flaw: Flaw, parameter: str) -> bool:
    """Whether a parameter sets what a flaw is about, or chooses the section that it is in."""
    about = (flaw.path, *flaw.involved)
    for path in map(str, space.paths(parameter)):
        parts = tuple(path.split("."))
        chooses = parts[:-1] if parts[-1] == "name" else parts
        if any(touches(other, parts) or (chooses != parts and touches(other, chooses)) for other in about):
            return True
    return False


def start_flaws(job: Job, space: Space, *, known: bool) -> Iterator[Flaw]:
    """What is wrong with the points that a search starts from.

    known: whether all paths of the space are the job's: only then can conditions be judged.
    """
    setters = {path: name for name in space.parameters for path in space.paths(name)}
    for index, point in enumerate(space.search.start_from):
        at: Path = ("search", "start_from", index)
        for path in point:
            if path not in setters:
                message = f"start_from names {path}, which isn't searched.{close(path, setters)}"
                yield Flaw((*at, path), message)
        wrong = [flaw for name in space.parameters for flaw in _outside(space, name, point, at)]
        yield from wrong
        if known and not wrong and all(path in setters for path in point):
            made = space.values_from(job, space.dims_from(point))
            for path in sorted(point.keys() - made.keys()):
                message = f"start_from gives {path}, but its when doesn't hold at this point. Leave it out."
                yield Flaw((*at, path), message)


def _outside(space: Space, name: str, point: Mapping[str, Any], at: Path) -> Iterator[Flaw]:
    """Values of a starting point that the parameter can't take."""
    paths = [path for path in space.paths(name) if path in point]
    parameter = space.parameters[name]
    if not paths:
        return
    if isinstance(parameter, Simplex):
        yield from _no_weights(parameter, name, [point.get(path) for path in space.paths(name)], (*at, paths[0]))
        return
    dimension, value = space.ordered[name][0], point[name]
    if isinstance(parameter, Categorical):
        if not any(same(value, choice) for choice in parameter.choices):
            message = f"start_from gives {name}={show(value)}, which isn't among its choices {show(parameter.choices)}."
            yield Flaw((*at, name), message)
        return
    fits = isinstance(value, int if dimension.kind == "int" else int | float) and not isinstance(value, bool)
    if not fits or not dimension.low <= value <= dimension.high:
        span = f"{number(dimension.low)} to {number(dimension.high)}"
        yield Flaw((*at, name), f"start_from gives {name}={show(value)}, which is outside {dimension.kind} {span}.")
    elif dimension.nearest(value) != value:
        rule = f"which is off its steps of {number(dimension.step or 0)} from {number(dimension.low)}"
        nearest = show(dimension.nearest(value))
        yield Flaw((*at, name), f"start_from gives {name}={show(value)}, {rule}. The nearest is {nearest}.")


def _no_weights(simplex: Simplex, name: str, weights: list[Any], at: Path) -> Iterator[Flaw]:
    numbers = [weight for weight in weights if isinstance(weight, int | float) and not isinstance(weight, bool)]
    if len(numbers) < len(weights) or min(numbers) < 0 or not isclose(sum(numbers), 1, rel_tol=1e-6):
        terms = listing(simplex.over, last="and")
        message = f"start_from must give the weights of all of {terms} in {name}, summing to 1."
        yield Flaw(at, message)
        return
    parts = [weight * (simplex.parts or 0) for weight in numbers]
    if any(abs(part - round(part)) > 1e-6 for part in parts):
        yield Flaw(at, f"start_from must give weights of {name} that are multiples of {show(simplex.step)}.")
