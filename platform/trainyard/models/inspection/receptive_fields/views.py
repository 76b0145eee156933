"""Operations that put elements elsewhere: views, windows cut out, joining, padding."""

from torch import Tensor

from trainyard.models.inspection.receptive_fields.call import Call, each, require_still
from trainyard.models.inspection.receptive_fields.field import ReceptiveField, joined
from trainyard.models.inspection.receptive_fields.reach import Factor, Reach
from trainyard.models.inspection.receptive_fields.windows import Untraceable


def reshape(call: Call) -> ReceptiveField:
    return call.known("self").map(lambda reach: reach.reshaped(call.shape))


def permute(call: Call) -> ReceptiveField:
    field = call.known("self")
    order = call.dims("dims", field)
    return field.map(lambda reach: reach.permuted(order))


def transpose(call: Call) -> ReceptiveField:
    field = call.known("self")
    order = list(range(len(field.shape)))
    first, second = (0, 1) if call.name == "t" else (call["dim0"], call["dim1"])
    if len(order) > 1:
        order[first], order[second] = order[second], order[first]
    return field.map(lambda reach: reach.permuted(order))


def unsqueeze(call: Call) -> ReceptiveField:
    place = call["dim"] % len(call.shape)
    return call.known("self").map(lambda reach: reach.inserted(place))


def squeeze(call: Call) -> ReceptiveField:
    field = call.known("self")
    named = call.dims("dim", field) if "dim" in call.arguments else range(len(field.shape))
    dims = [dim for dim in named if field.shape[dim] == 1]
    return field.map(lambda reach: reach.dropped(dims))


def expand(call: Call) -> ReceptiveField:
    return call.known("self").map(lambda reach: reach.expanded(call.shape))


def take_slice(call: Call) -> ReceptiveField:
    field = call.known("self")
    (dim,) = call.dims("dim", field)
    length = field.shape[dim]
    start = slice(call["start"], call["end"]).indices(length)[0]
    return field.map(lambda reach: reach.sliced(dim, start, call["step"], call.shape[dim]))


def select(call: Call) -> ReceptiveField:
    field = call.known("self")
    (dim,) = call.dims("dim", field)
    return _piece(field, dim, call["index"] % field.shape[dim], 1).map(lambda reach: reach.dropped([dim]))


def split(call: Call) -> list[ReceptiveField]:
    field = call.known("self")
    (dim,) = call.dims("dim", field)
    starts = [sum(output.shape[dim] for output in call.outputs[:own]) for own in range(len(call.outputs))]
    return [_piece(field, dim, start, output.shape[dim]) for start, output in zip(starts, call.outputs, strict=True)]


def unbind(call: Call) -> list[ReceptiveField]:
    field = call.known("self")
    (dim,) = call.dims("dim", field)
    pieces = (_piece(field, dim, index, 1) for index in range(len(call.outputs)))
    return [piece.map(lambda reach: reach.dropped([dim])) for piece in pieces]


def _piece(field: ReceptiveField, dim: int, start: int, size: int) -> ReceptiveField:
    return field.map(lambda reach: reach.sliced(dim, start, 1, size))


def halves_multiplied(call: Call) -> ReceptiveField:
    """glu: one half of a dimension times the sigmoid of the other."""
    field = call.known("self")
    (dim,) = call.dims("dim", field)
    size = call.shape[dim]
    return joined([_piece(field, dim, start, size) for start in (0, size)])


def flip(call: Call) -> ReceptiveField:
    field = call.known("self")
    dims = call.dims("dims", field)
    return field.map(lambda reach: reach.flipped(dims))


def roll(call: Call) -> ReceptiveField:
    field = call.known("self")

    def follow(reach: Reach) -> Reach:
        for dim in call.dims("dims", field):
            if any(factor.step for factor in reach.dims[dim]):
                reach = reach.scattered(dim, field.shape[dim])
        return reach

    return field.map(follow)


def pad(call: Call, *, name: str = "pad") -> ReceptiveField:
    """The pixels of a reflected or repeated border count like those that they replace: as padding."""
    field = call.known("self")
    before = dict(zip(reversed(range(len(field.shape))), call[name][::2], strict=False))

    def follow(reach: Reach) -> Reach:
        for dim, padding in before.items():
            size = call.shape[dim]
            reach = reach.slid(dim, kernel=1, stride=1, padding=padding, dilation=1, size=size)
        return reach

    return field.map(follow)


def unfold(call: Call) -> ReceptiveField:
    """Tensor.unfold: windows of a dimension, what is in each in a last dimension."""
    field = call.known("self")
    (dim,) = call.dims("dimension", field)
    windows, count = call.shape[dim], len(field.shape)

    def follow(reach: Reach) -> Reach:
        cut = reach.cut(dim, kernel=call["size"], stride=call["step"], padding=0, dilation=1, size=windows)
        return cut.permuted([*(own for own in range(count + 1) if own != dim), dim])

    return field.map(follow)


def im2col(call: Call) -> ReceptiveField:
    """(N, C, H, W) to (N, C * kernel, windows)."""
    field = call.known("self")
    options = {name: each(call[name], 2) for name in ("stride", "padding", "dilation")}
    kernel = each(call["kernel_size"], 2)
    sizes = [
        (field.shape[2 + side] + 2 * options["padding"][side] - options["dilation"][side] * (kernel[side] - 1) - 1)
        // options["stride"][side]
        + 1
        for side in range(2)
    ]

    def follow(reach: Reach) -> Reach:
        for side, dim in ((1, 3), (0, 2)):
            own = {name: values[side] for name, values in options.items()}
            reach = reach.cut(dim, kernel=kernel[side], size=sizes[side], **own)
        # (N, C, kernel rows, rows, kernel columns, columns)
        return reach.permuted([0, 1, 2, 4, 3, 5]).reshaped(call.shape)

    return field.map(follow)


def as_strided(call: Call) -> ReceptiveField:
    """Windows of a contiguous tensor: each stride must be a whole number of steps along one of its dimensions."""
    field, source = call.known("self"), call["self"]
    if not source.is_contiguous():
        raise Untraceable
    offset = source.storage_offset() if call["storage_offset"] is None else call["storage_offset"]
    moves = [_move(source, stride, size) for size, stride in zip(call["size"], call["stride"], strict=True)]
    starts, rest = [], offset - source.storage_offset()
    for stride in source.stride():
        start, rest = divmod(rest, stride)
        starts.append(start)
    for dim, size in enumerate(source.shape):
        end = starts[dim] + sum(steps * (length - 1) for own, steps, length in moves if own == dim)
        if not 0 <= end < size:
            raise Untraceable

    def follow(reach: Reach) -> Reach:
        for dim in range(len(source.shape)):
            reach = reach.merged(dim)
        if any(factor.scattered for factor in reach.factors):
            raise Untraceable
        dims = []
        for dim, steps, size in moves:
            (factor,) = reach.dims[dim]
            dims.append((Factor(size, factor.step * steps, factor.spacing * steps),))
        moved = sum(start * reach.dims[dim][0].step for dim, start in enumerate(starts))
        return Reach(dims=tuple(dims), windows=reach.windows, offset=reach.offset + moved)

    return field.map(follow)


def _move(source: Tensor, stride: int, size: int) -> tuple[int, int, int]:
    """(dimension, steps along it, size)"""
    if stride == 0 or size == 1:
        return 0, 0, size
    for dim, own in enumerate(source.stride()):
        if source.shape[dim] > 1 and stride % own == 0:
            return dim, stride // own, size
    raise Untraceable


def cat(call: Call) -> ReceptiveField:
    tensors = [tensor for tensor in call["tensors"] if tensor.numel()]
    there = [field for tensor in tensors if (field := call.field(tensor)) is not None]
    dim = call["dim"] % len(call.shape)
    size = call.shape[dim]
    if not all(field.is_known for field in there):
        raise Untraceable

    def follow(reach: Reach) -> Reach:
        if any(factor.step or factor.scattered for factor in reach.dims[dim]):
            return reach.scattered(dim, size)
        return reach.with_dim(dim, Factor(size))

    return joined([field.map(follow) for field in there])


def stack(call: Call) -> ReceptiveField:
    dim = call["dim"] % len(call.shape)
    size = call.shape[dim]
    fields = [field for tensor in call["tensors"] if (field := call.field(tensor)) is not None]
    if not all(field.is_known for field in fields):
        raise Untraceable
    return joined([field.map(lambda reach: reach.inserted(dim).with_dim(dim, Factor(size))) for field in fields])


def copy(call: Call) -> ReceptiveField:
    return call.known("src").map(lambda reach: reach.expanded(call.shape))


def repeat(call: Call) -> ReceptiveField:
    field = call.known("self")
    missing = len(call.shape) - len(field.shape)
    for dim, size in enumerate(field.shape):
        if call["repeats"][missing + dim] > 1 and size > 1:
            require_still(field, dim)

    def follow(reach: Reach) -> Reach:
        reach = reach.expanded((*(1,) * missing, *field.shape))
        for dim, times in enumerate(call["repeats"]):
            if times > 1:
                reach = reach.with_dim(dim, Factor(call.shape[dim]))
        return reach

    return field.map(follow)


def pixel_shuffle(call: Call) -> ReceptiveField:
    """(..., C r^2, H, W) to (..., C, H r, W r)."""
    field, times = call.known("self"), call["upscale_factor"]
    *front, channels, height, width = field.shape
    split = (*front, channels // times**2, times, times, height, width)
    count = len(front)
    order = [*range(count + 1), count + 3, count + 1, count + 4, count + 2]
    return field.map(lambda reach: reach.reshaped(split).permuted(order).reshaped(call.shape))


def pixel_unshuffle(call: Call) -> ReceptiveField:
    """(..., C, H r, W r) to (..., C r^2, H, W)."""
    field, times = call.known("self"), call["downscale_factor"]
    *front, channels, height, width = field.shape
    split = (*front, channels, height // times, times, width // times, times)
    count = len(front)
    order = [*range(count + 1), count + 2, count + 4, count + 1, count + 3]
    return field.map(lambda reach: reach.reshaped(split).permuted(order).reshaped(call.shape))
