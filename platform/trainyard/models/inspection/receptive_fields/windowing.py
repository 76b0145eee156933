"""Operations that slide a window over positions or resize feature maps: convolutions, poolings, interpolation."""

from fractions import Fraction
from functools import partial
from math import ceil, floor

from trainyard.models.inspection.receptive_fields.call import Call, each, require_still
from trainyard.models.inspection.receptive_fields.field import ReceptiveField
from trainyard.models.inspection.receptive_fields.reach import Reach


def convolution(call: Call) -> ReceptiveField:
    call.refuse("weight", "bias")
    field, weight = call.known("input"), call["weight"]
    sides = weight.dim() - 2
    options = {name: each(call[name], sides) for name in ("stride", "padding", "dilation")}
    if call["groups"] > 1:
        require_still(field, 1)

    def follow(reach: Reach) -> Reach:
        reach = reach.summed([1], size=call.shape[1])
        for side in range(sides):
            own = {name: values[side] for name, values in options.items()}
            change = _transposed if call["transposed"] else Reach.slid
            reach = change(reach, 2 + side, kernel=weight.shape[2 + side], size=call.shape[2 + side], **own)
        return reach

    return field.map(follow)


def _transposed(reach: Reach, dim: int, *, kernel: int, stride: int, padding: int, dilation: int, size: int) -> Reach:
    """Output i is the sum over taps t of input j where i = j * stride - padding + t * dilation."""

    def sources(index: int) -> list[int]:
        places = (index + padding - tap * dilation for tap in range(kernel))
        return [place // stride for place in places if place % stride == 0]

    return reach.resampled(dim, size, sources, period=stride, shift=1)


def pool(call: Call, *, sides: int) -> ReceptiveField:
    kernel = each(call["kernel_size"], sides)
    stride = each(call["stride"] or kernel, sides)
    padding = each(call["padding"], sides)
    dilation = each(call.arguments.get("dilation", 1), sides)
    field = call.known("self")
    first = len(field.shape) - sides

    def follow(reach: Reach) -> Reach:
        for side in range(sides):
            reach = reach.slid(
                first + side,
                kernel=kernel[side],
                stride=stride[side],
                padding=padding[side],
                dilation=dilation[side],
                size=call.shape[first + side],
            )
        return reach

    return field.map(follow)


def adaptive_pool(call: Call) -> ReceptiveField:
    field = call.known("self")
    sides = len(call["output_size"])

    def follow(reach: Reach) -> Reach:
        for dim in range(len(field.shape) - sides, len(field.shape)):
            ratio = Fraction(field.shape[dim], call.shape[dim])
            if call.shape[dim] == 1:
                reach = reach.summed([dim])
            else:
                sources = partial(_share, ratio)
                reach = reach.resampled(dim, call.shape[dim], sources, period=ratio.denominator, shift=ratio.numerator)
        return reach

    return field.map(follow)


def _share(ratio: Fraction, index: int) -> range:
    return range(floor(index * ratio), ceil((index + 1) * ratio))


def resize(call: Call, *, way: str) -> ReceptiveField:
    """Interpolation to a size. way: nearest, nearest_exact, linear or cubic."""
    field = call.known("self")
    sides = len(call["output_size"])
    scales = [value for name, value in call.arguments.items() if name.startswith("scales")]
    first = len(field.shape) - sides
    corners = bool(call.arguments.get("align_corners"))

    def follow(reach: Reach) -> Reach:
        for dim, scale in zip(range(first, len(field.shape)), scales, strict=True):
            before, after = field.shape[dim], call.shape[dim]
            if before == 1:
                reach = reach.summed([dim], size=after)  # every position shows the only one there is
                continue
            ratio = 1 / Fraction(scale).limit_denominator(1 << 12) if scale else Fraction(before, after)
            if corners and way != "nearest":
                ratio = Fraction(before - 1, max(1, after - 1))
            sources = partial(_taps, ratio, way, corners)
            reach = reach.resampled(dim, after, sources, period=ratio.denominator, shift=ratio.numerator)
        return reach

    return field.map(follow)


def _taps(ratio: Fraction, way: str, corners: bool, index: int) -> range:
    """The positions that have a part in position `index` of a resized side, as torch's interpolate says."""
    if way == "nearest":
        return range(floor(index * ratio), floor(index * ratio) + 1)
    half = Fraction(1, 2)
    if way == "nearest_exact":
        nearest = floor((index + half) * ratio)
        return range(nearest, nearest + 1)
    place = index * ratio if corners else (index + half) * ratio - half
    low = floor(place)
    if place == low:
        return range(low, low + 1)
    return range(low, low + 2) if way == "linear" else range(low - 1, low + 3)
