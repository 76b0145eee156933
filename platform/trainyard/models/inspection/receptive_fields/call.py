"""An operation of torch, as the rules see it that carry receptive fields from its inputs to its outputs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from trainyard.models.inspection.receptive_fields.field import ReceptiveField
from trainyard.models.inspection.receptive_fields.windows import Untraceable


@dataclass(frozen=True, kw_only=True)
class Call:
    """An operation that was done.

    name: as in torch.ops.aten, without the underscore of the one in place. arguments: by the names of its schema,
    defaults included. field: of a tensor; None for one that doesn't depend on the image.
    """

    name: str
    arguments: Mapping[str, Any]
    outputs: Sequence[Tensor]
    pointwise: bool
    field: Callable[[Tensor], ReceptiveField | None]

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the first output."""
        return tuple(self.outputs[0].shape)

    def known(self, name: str) -> ReceptiveField:
        """The field of an argument. Untraceable unless it depends on the image in a known way."""
        field = self.field(self[name])
        if field is None or not field.is_known:
            raise Untraceable
        return field

    def refuse(self, *names: str) -> None:
        """Untraceable if one of these arguments depends on the image."""
        if any(isinstance(self[name], Tensor) and self.field(self[name]) for name in names):
            raise Untraceable

    def dims(self, name: str, field: ReceptiveField) -> list[int]:
        """Dimensions that an argument names; all if it names none."""
        given, count = self[name], len(field.shape)
        if given is None or given == []:
            return list(range(count))
        return [dim % count for dim in (given if isinstance(given, list | tuple) else [given])]


def each(value: int | Sequence[int], sides: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * sides if len(values) == 1 else values


def require_still(field: ReceptiveField, dim: int) -> None:
    """Untraceable if the elements of a dimension depend on different pixels."""
    for reach in (*field.rows, *field.columns):
        if any(factor.step or factor.scattered for factor in reach.dims[dim]):
            raise Untraceable
