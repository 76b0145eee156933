"""Operations that combine elements: one by one, or all along some dimensions."""

from torch import Tensor

from trainyard.models.inspection.receptive_fields.call import Call
from trainyard.models.inspection.receptive_fields.field import ReceptiveField, joined
from trainyard.models.inspection.receptive_fields.windows import Untraceable


def elementwise(call: Call) -> ReceptiveField:
    tensors = [value for value in call.arguments.values() if isinstance(value, Tensor)]
    field = joined([field for tensor in tensors if (field := call.field(tensor)) is not None])
    return field.map(lambda reach: reach.expanded(call.shape))


def reduction(call: Call) -> ReceptiveField | list[ReceptiveField]:
    field = call.known("self")
    dims = call.dims("dim", field) if "dim" in call.arguments else list(range(len(field.shape)))
    kept = bool(call.arguments.get("keepdim"))
    return field.map(lambda reach: reach.summed(dims).dropped([] if kept else dims))


def softmax(call: Call) -> ReceptiveField:
    field = call.known("self")
    (dim,) = call.dims("dim", field)
    return field.map(lambda reach: reach.summed([dim], size=field.shape[dim]))


def product(call: Call, left: str, right: str, bias: str | None = None) -> ReceptiveField:
    """(..., n, k) times (..., k, m), perhaps plus a bias."""
    parts = []
    for name, summed, other in ((left, -1, -1), (right, -2, -2)):
        field = call.field(call[name])
        if field is not None:
            parts.append(_multiplied(field, summed, size=call.shape[other]))
    if bias and (field := call.field(call[bias])) is not None:
        parts.append(field)
    return joined(parts).map(lambda reach: reach.expanded(call.shape))


def _multiplied(field: ReceptiveField, dim: int, *, size: int) -> ReceptiveField:
    if not field.is_known:
        raise Untraceable
    place = dim % len(field.shape)
    return field.map(lambda reach: reach.summed([place], size=size))


def attention(call: Call) -> ReceptiveField:
    """softmax(query key^T) value: (..., L, E), (..., S, E), (..., S, V) to (..., L, V)."""
    if isinstance(call.arguments.get("attn_mask"), Tensor):
        call.refuse("attn_mask")
    parts = []
    length, width = call.shape[-2:]
    for name, summed in (("query", False), ("key", True), ("value", True)):
        field = call.field(call[name])
        if field is not None:
            own = field if not summed else _multiplied(field, -2, size=length)
            parts.append(own if name == "value" else _multiplied(own, -1, size=width))
    return joined(parts)
