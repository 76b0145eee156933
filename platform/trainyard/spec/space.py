"""A space: what may vary from trial to trial, and how it is searched."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import Field, PrivateAttr, model_validator

from trainyard.errors import SpecError
from trainyard.spec.dimension import Dimension, dimensions_of
from trainyard.spec.distributions import Distribution, Parameter, Simplex
from trainyard.spec.fields import put, section_at
from trainyard.spec.job import Job
from trainyard.spec.search import SearchSettings
from trainyard.spec.section import Section, plain, refuse
from trainyard.spec.sentences import validate
from trainyard.spec.simplex import units_from, weights_from
from trainyard.spec.source import Source
from trainyard.spec.space_rules import flaws_among, order_of, paths_set_by
from trainyard.spec.yaml_writer import to_yaml


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One point of a space.

    dims: the value of each dimension that was chosen, by its name: what a sampler knows.
    values: what follows for the job, by path.
    """

    dims: Mapping[str, Any]
    values: Mapping[str, Any]


class Space(Section):
    """Distributions over paths of a job, and search settings."""

    parameters: dict[str, Parameter] = Field(
        min_length=1,
        description="What may vary, by path of the job.",
        examples=[{"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}}],
    )
    search: SearchSettings = SearchSettings()

    _source: Source = PrivateAttr(default=Source(file="space"))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = "space") -> "Space":
        """A space from plain data, such as to_dict() gave. Raises SpecError with every problem; where begins each."""
        space, flaws = validate(cls, dict(data))
        if space is None:
            raise SpecError(Source(file=where).locate(flaws))
        space._source = Source(file=where)
        return space

    @property
    def source(self) -> Source:
        """Where each setting was written, for messages."""
        return self._source

    def to_dict(self) -> dict[str, Any]:
        """The whole space as plain values, defaults included; what is absent is left out."""
        return dict(plain(self))

    def to_yaml(self) -> str:
        """The whole space as YAML: a line for each parameter and search setting."""
        return to_yaml(self.to_dict())

    def paths(self, parameter: str) -> tuple[str, ...]:
        """The paths of the job that a parameter sets: its own, or the weights of the terms under it."""
        return paths_set_by(parameter, self.parameters[parameter])

    @cached_property
    def ordered(self) -> Mapping[str, tuple[Dimension, ...]]:
        """The dimensions of each parameter; parameters as written, but each after those that its `when` looks at."""
        return {name: dimensions_of(name, self.parameters[name]) for name in order_of(self.parameters)}

    def dimensions(self) -> tuple[Dimension, ...]:
        """All dimensions, in the order in which resolve asks for them."""
        return tuple(dimension for own in self.ordered.values() for dimension in own)

    def resolve(self, job: Job, suggest: Callable[[Dimension], Any]) -> Sample:
        """A point of the space: suggest is asked for each dimension whose `when` holds, and for no other.

        A `when` is judged by the values chosen so far, and else by the job's own.
        """
        return self._walk(job, lambda own: {dimension.name: suggest(dimension) for dimension in own})

    def values_from(self, job: Job, dims: Mapping[str, Any]) -> dict[str, Any]:
        """The values that given dimensions make.

        Dimensions whose `when` doesn't hold are ignored. A parameter that isn't given keeps the job's own value.
        """

        def choose(own: tuple[Dimension, ...]) -> dict[str, Any]:
            given = {dimension.name: dims[dimension.name] for dimension in own if dimension.name in dims}
            return given if len(given) == len(own) else {}

        return dict(self._walk(job, choose).values)

    def dims_from(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The dimensions that make given values; parameters of which a path isn't given are left out."""
        dims: dict[str, Any] = {}
        for parameter, own in self.ordered.items():
            paths = self.paths(parameter)
            if all(path in values for path in paths):
                made = _choices(self.parameters[parameter], [values[path] for path in paths])
                dims.update(zip((dimension.name for dimension in own), made, strict=True))
        return dims

    def _walk(self, job: Job, choose: Callable[[tuple[Dimension, ...]], dict[str, Any]]) -> Sample:
        dims: dict[str, Any] = {}
        values: dict[str, Any] = {}
        present = job.values()
        for parameter, own in self.ordered.items():
            distribution = self.parameters[parameter]
            conditions = distribution.when.items()
            if not all(condition.holds(_value(job, present, values, path)) for path, condition in conditions):
                continue
            chosen = choose(own)
            if chosen:
                dims.update(chosen)
                values.update(zip(self.paths(parameter), _values(distribution, [*chosen.values()]), strict=True))
        return Sample(dims=dims, values=values)

    def __eq__(self, other: object) -> bool:
        """Equal settings; the file that they came from doesn't count."""
        return isinstance(other, Space) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.to_yaml())

    @model_validator(mode="after")
    def _fits_together(self) -> "Space":
        refuse(flaws_among(self.parameters))
        return self


def _values(distribution: Distribution, chosen: list[Any]) -> list[Any]:
    """The values of the paths that a parameter sets, from those chosen for its dimensions."""
    if not isinstance(distribution, Simplex):
        return [plain(chosen[0])]
    return list(weights_from(chosen) if distribution.parts is None else chosen[0])


def _choices(distribution: Distribution, values: list[Any]) -> list[Any]:
    """The inverse of _values."""
    if not isinstance(distribution, Simplex):
        return values
    if distribution.parts is None:
        return list(units_from(values))
    return [tuple(round(weight * distribution.parts) / distribution.parts for weight in values)]


def _value(job: Job, present: Mapping[str, Any], values: Mapping[str, Any], path: str) -> Any:
    """The value at a path once some are chosen: the chosen, the job's own, or the default of a newly named section."""
    section, _, last = path.rpartition(".")
    if path in values or f"{section}.name" not in values:
        return values.get(path, present.get(path))
    data = job.stated()
    put(Job, data, f"{section}.name", values[f"{section}.name"])
    kind = section_at(Job, data, tuple(section.split(".")))
    field = kind.model_fields.get(last) if kind else None
    default = None if field is None or field.is_required() else plain(field.default)
    named: Any = data
    for part in section.split("."):
        named = named[part]
    return named.get(last, default)
