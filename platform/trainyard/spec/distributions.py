"""The distributions of a space: what the value at a path of a job may become, and when."""

from collections.abc import Iterator
from math import comb, isclose
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from trainyard.spec.scalars import Scalar, number, show
from trainyard.spec.section import Flaw, Section, refuse

MAX_LATTICE = 10_000
"""Points of a simplex with a step: more are searched better without one."""

MAX_STEPS = 2**53
"""Whole numbers up to here are floats exactly, and samplers compute with floats."""

WholeNumber = Annotated[int, Field(ge=-MAX_STEPS, le=MAX_STEPS)]
Scalars = Annotated[tuple[Any, ...], Field(strict=False, min_length=1)]


class Condition(Section):
    """What the value at a path must be: one of some values, or a number within open bounds."""

    one_of: Scalars | None = Field(None, description="The values that fulfil it.")
    above: float | None = Field(None, description="A bound that the value must exceed.")
    below: float | None = Field(None, description="A bound that the value must stay below.")

    @model_validator(mode="after")
    def _says_something(self) -> "Condition":
        refuse(self._flaws())
        return self

    def _flaws(self) -> Iterator[Flaw]:
        bounded = self.above is not None or self.below is not None
        if bounded == (self.one_of is not None):
            yield Flaw((), "a condition of when is a value, a list of values, or a mapping with above, below or both.")
        if self.above is not None and self.below is not None and self.above >= self.below:
            yield Flaw((), f"a condition's above must be < its below, got above={self.above:g}, below={self.below:g}.")
        if any(not is_scalar(value) for value in self.one_of or ()):
            yield Flaw((), f"a condition's values must be numbers, text, true, false or null, got {show(self.one_of)}.")

    def holds(self, value: Any) -> bool:
        """Whether the value fulfils the condition. Nothing but a number is above or below a bound."""
        if self.one_of is not None:
            return any(same(value, choice) for choice in self.one_of)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (self.above is None or value > self.above) and (self.below is None or value < self.below)


def is_scalar(value: Any) -> bool:
    """Whether a value is a number, text, true, false or null."""
    return value is None or isinstance(value, bool | int | float | str)


def same(one: Any, other: Any) -> bool:
    """Equality that tells true from 1, but not 1 from 1.0."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _long_form(condition: Any) -> Any:
    if isinstance(condition, dict | Condition):
        return condition
    return {"one_of": condition if isinstance(condition, list | tuple) else [condition]}


AnyForm = BeforeValidator(_long_form, json_schema_input_type=Condition | Scalar | list[Scalar])
Conditions = dict[str, Annotated[Condition, AnyForm]]


class Distribution(Section):
    """What all distributions have."""

    type: str
    when: Conditions = Field(
        {},
        description="Paths and what their values must be for this to be searched; else the job's own value stays. "
        "A value, a list of values, or {above: x, below: y}.",
        examples=[{"schedule.name": "one_cycle"}],
    )


class Float(Distribution):
    """A number, uniform in [low, high], or uniform in its logarithm."""

    type: Literal["float"]
    low: float = Field(description="Smallest value.", examples=[1e-4])
    high: float = Field(description="Largest value.", examples=[1e-1])
    log: bool = Field(False, description="Uniform in the logarithm, for what spans orders of magnitude.")
    step: float | None = Field(None, gt=0, description="Distance of two values; any value when absent.")

    @model_validator(mode="after")
    def _in_order(self) -> "Float":
        refuse(_range_flaws(self.low, self.high, self.log, self.step, continuous=0))
        return self


class Int(Distribution):
    """A whole number, uniform in [low, high], or nearly uniform in its logarithm."""

    type: Literal["int"]
    low: WholeNumber = Field(description="Smallest value.", examples=[1])
    high: WholeNumber = Field(description="Largest value.", examples=[10])
    log: bool = Field(False, description="Uniform in the logarithm, for what spans orders of magnitude.")
    step: int = Field(1, ge=1, description="Distance of two values.")

    @model_validator(mode="after")
    def _in_order(self) -> "Int":
        refuse(_range_flaws(self.low, self.high, self.log, self.step, continuous=1))
        return self


def _range_flaws(low: float, high: float, log: bool, step: float | None, continuous: float) -> Iterator[Flaw]:
    """continuous: the step that is no restriction."""
    if low >= high:
        fixed = " Set a fixed value in the job." if low == high else ""
        message = f"low must be < high, got low={number(low)}, high={number(high)}.{fixed}"
        yield Flaw(("low",), message, (("high",),))
    if log and low <= 0:
        yield Flaw(("low",), f"low must be > 0 with log: true, got {number(low)}.", (("log",),))
    if step is None or step == continuous:
        return
    if log:
        yield Flaw(("step",), f"step and log: true don't go together, got step={number(step)}.", (("log",),))
    elif low < high and not _divides(step, high - low):
        message = f"step must divide high - low = {number(high - low)} evenly, got {number(step)}."
        yield Flaw(("step",), message, (("low",), ("high",)))


def _divides(step: float, width: float) -> bool:
    parts = width / step
    return 0.5 < parts < MAX_STEPS and isclose(round(parts) * step, width, rel_tol=1e-9)


class Categorical(Distribution):
    """One of some values, which may be lists."""

    type: Literal["categorical"]
    choices: Scalars = Field(description="The values.", examples=[["adam", "sgd"]])

    @model_validator(mode="after")
    def _distinct(self) -> "Categorical":
        refuse(self._flaws())
        return self

    def _flaws(self) -> Iterator[Flaw]:
        for index, choice in enumerate(self.choices):
            items = choice if isinstance(choice, list | tuple) else [choice]
            if not items or not all(map(is_scalar, items)):
                yield Flaw(("choices", index), f"a choice must be a value or a list of values, got {show(choice)}.")
            elif any(same(choice, other) for other in self.choices[:index]):
                yield Flaw(("choices", index), f"choices must differ, got {show(choice)} twice.")


class Simplex(Distribution):
    """Weights of some terms of a mix, none negative, summing to one; uniform among all such weights."""

    type: Literal["simplex"]
    over: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        description="The terms whose weights are searched.", examples=[["cross_entropy", "focal"]]
    )
    step: float | None = Field(
        None, ge=1e-4, le=0.5, description="Weights are multiples of this, such as 0.25; any weights when absent."
    )

    @property
    def parts(self) -> int | None:
        """Into how many steps the whole is divided."""
        return None if self.step is None else round(1 / self.step)

    @model_validator(mode="after")
    def _divisible(self) -> "Simplex":
        refuse(self._flaws())
        return self

    def _flaws(self) -> Iterator[Flaw]:
        if len(self.over) < 2:
            yield Flaw(("over",), f"over must name two terms or more, got {show(self.over)}: one weight is always 1.")
        for term in sorted({term for term in self.over if self.over.count(term) > 1}):
            yield Flaw(("over",), f"over must not repeat a term, got {show(term)} twice.")
        if self.parts and not isclose(self.parts * (self.step or 0), 1, rel_tol=1e-6):
            yield Flaw(("step",), f"step must divide 1 evenly, such as 0.25, got {show(self.step)}.")
        elif self.parts and comb(self.parts + len(self.over) - 1, len(self.over) - 1) > MAX_LATTICE:
            yield Flaw(("step",), f"step={show(self.step)} gives more than {MAX_LATTICE} points. Leave it out.")


Parameter = Annotated[Float | Int | Categorical | Simplex, Field(discriminator="type")]
