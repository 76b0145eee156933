"""The rules that the parameters of a space keep among each other, whatever the job."""

from collections.abc import Iterator, Mapping
from itertools import combinations

from trainyard.spec.dimension import dimensions_of
from trainyard.spec.distributions import Categorical, Condition, Distribution, Simplex, same
from trainyard.spec.hints import close, listing
from trainyard.spec.order import CycleError, in_order
from trainyard.spec.scalars import number, show
from trainyard.spec.section import Flaw

Parameters = Mapping[str, Distribution]


def paths_set_by(parameter: str, distribution: Distribution) -> tuple[str, ...]:
    """The paths of the job that a parameter sets: its own, or the weights of the terms under it."""
    if isinstance(distribution, Simplex):
        return tuple(f"{parameter}.{term}.weight" for term in distribution.over)
    return (parameter,)


def setters_of(parameters: Parameters) -> dict[str, str]:
    """The parameter that sets each path."""
    return {path: name for name, distribution in parameters.items() for path in paths_set_by(name, distribution)}


def order_of(parameters: Parameters) -> list[str]:
    """The parameters as written, but each after those that its `when` looks at. Raises CycleError."""
    setters = setters_of(parameters)
    needs = {name: [setters[path] for path in item.when if path in setters] for name, item in parameters.items()}
    return in_order(needs)


def flaws_among(parameters: Parameters) -> Iterator[Flaw]:
    """Everything wrong with parameters that are each in order by themselves."""
    yield from _overlaps(parameters)
    try:
        order_of(parameters)
    except CycleError as error:
        first, *others = error.cycle[:-1]
        message = (
            f"the when of {first} looks at a path that it sets itself."
            if not others
            else f"the when of {first} can't be judged: {' needs '.join(error.cycle)}."
        )
        yield Flaw(("parameters", first, "when"), message)
        return
    for name, distribution in parameters.items():
        for path, condition in distribution.when.items():
            yield from _impossible(parameters, name, path, condition)


def _overlaps(parameters: Parameters) -> Iterator[Flaw]:
    paths = [(path, name) for name, distribution in parameters.items() for path in paths_set_by(name, distribution)]
    for (one, first), (other, second) in combinations(paths, 2):
        if first != second and (f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")):
            message = f"{second} and {first} both set {max(one, other, key=len)}. Keep one."
            yield Flaw(("parameters", second), message, (("parameters", first),))


def _impossible(parameters: Parameters, name: str, path: str, condition: Condition) -> Iterator[Flaw]:
    """A condition that no value of the searched path fulfils.

    Where that path is itself searched only under a condition, the job's own value may fulfil it.
    """
    setter = setters_of(parameters).get(path)
    if setter is None or parameters[setter].when:
        return
    never = _never(parameters[setter], path, condition)
    if never:
        yield Flaw(("parameters", name, "when", path), f"the when of {name} asks for what never is: {never}")


def _never(searched: Distribution, path: str, condition: Condition) -> str | None:
    if isinstance(searched, Categorical):
        choices = searched.choices
        known = listing(show(choice) for choice in choices)
        for value in condition.one_of or ():
            if not any(same(value, choice) for choice in choices):
                return f"{path} is {known}, not {show(value)}.{close(str(value), map(str, choices))}"
        return None if any(map(condition.holds, choices)) else f"{path} is {known}."
    dimension = dimensions_of(path, searched)[0]
    low, high = (0.0, 1.0) if isinstance(searched, Simplex) else (dimension.low, dimension.high)
    if condition.one_of is not None and dimension.count is None:
        return f"{path} is hardly ever exactly {show(condition.one_of[0])}. Use above or below."
    inside = condition.one_of is None or any(_within(value, low, high) for value in condition.one_of)
    above, below = condition.above, condition.below
    if not inside or (above is not None and above >= high) or (below is not None and below <= low):
        return f"{path} is between {number(low)} and {number(high)}."
    return None


def _within(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
