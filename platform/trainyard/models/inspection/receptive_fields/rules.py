"""How each operation of torch carries receptive fields from its inputs to its outputs.

Operations are those that reach the dispatcher (`torch.ops.aten`), of which there are few: layers and functions come
down to them. Statistics that a normalisation takes over positions are left out, as if they were constants.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from trainyard.models.inspection.receptive_fields import sums, views, windowing
from trainyard.models.inspection.receptive_fields.call import Call
from trainyard.models.inspection.receptive_fields.field import UNKNOWN, ReceptiveField
from trainyard.models.inspection.receptive_fields.windows import Untraceable


def _unchanged(call: Call) -> ReceptiveField:
    return call.known("self" if "self" in call.arguments else "input")


Rule = Callable[[Call], ReceptiveField | list[ReceptiveField]]

SAME = (
    *("alias", "detach", "lift_fresh", "clone", "_to_copy", "contiguous", "native_dropout", "dropout", "bernoulli"),
    *("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"),
    *("_batch_norm_with_update", "_batch_norm_no_update", "miopen_batch_norm", "native_layer_norm"),
    *("native_group_norm", "_fused_rms_norm", "prelu", "_prelu_kernel", "rrelu_with_noise"),
    *("hardswish", "log_sigmoid_forward"),
)
"""Each element depends on the one at its place, and on parameters."""

RULES: dict[str, Rule] = {
    **dict.fromkeys(SAME, _unchanged),
    "convolution": windowing.convolution,
    **{f"max_pool{sides}d_with_indices": partial(windowing.pool, sides=sides) for sides in (1, 2, 3)},
    **{f"avg_pool{sides}d": partial(windowing.pool, sides=sides) for sides in (1, 2, 3)},
    **{f"_adaptive_avg_pool{sides}d": windowing.adaptive_pool for sides in (2, 3)},
    **{f"adaptive_max_pool{sides}d": windowing.adaptive_pool for sides in (2, 3)},
    "adaptive_avg_pool1d": windowing.adaptive_pool,
    **{f"upsample_nearest{sides}d": partial(windowing.resize, way="nearest") for sides in (1, 2, 3)},
    **{f"_upsample_nearest_exact{sides}d": partial(windowing.resize, way="nearest_exact") for sides in (1, 2, 3)},
    **{f"upsample_{way}": partial(windowing.resize, way="linear") for way in ("linear1d", "bilinear2d", "trilinear3d")},
    "upsample_bicubic2d": partial(windowing.resize, way="cubic"),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "var", "std", "logsumexp", "prod"), sums.reduction),
    **dict.fromkeys(("any", "all", "argmax", "argmin", "linalg_vector_norm"), sums.reduction),
    **dict.fromkeys(("_softmax", "_safe_softmax", "_log_softmax"), sums.softmax),
    "mm": partial(sums.product, left="self", right="mat2"),
    "bmm": partial(sums.product, left="self", right="mat2"),
    "addmm": partial(sums.product, left="mat1", right="mat2", bias="self"),
    "baddbmm": partial(sums.product, left="batch1", right="batch2", bias="self"),
    "_scaled_dot_product_flash_attention_for_cpu": sums.attention,
    "_scaled_dot_product_flash_attention": sums.attention,
    "_scaled_dot_product_efficient_attention": sums.attention,
    "_scaled_dot_product_attention_math": sums.attention,
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias"), views.reshape),
    "permute": views.permute,
    **dict.fromkeys(("transpose", "t"), views.transpose),
    "unsqueeze": views.unsqueeze,
    "squeeze": views.squeeze,
    "expand": views.expand,
    "slice": views.take_slice,
    "select": views.select,
    **dict.fromkeys(("split", "split_with_sizes"), views.split),
    "unbind": views.unbind,
    "flip": views.flip,
    "roll": views.roll,
    "constant_pad_nd": views.pad,
    **{
        f"{way}_pad{sides}d": partial(views.pad, name="padding")
        for way in ("reflection", "replication")
        for sides in (1, 2, 3)
    },
    "unfold": views.unfold,
    "im2col": views.im2col,
    "as_strided": views.as_strided,
    "cat": views.cat,
    "stack": views.stack,
    "glu": views.halves_multiplied,
    "copy": views.copy,
    **dict.fromkeys(("fill", "zero"), lambda call: UNKNOWN),
    "repeat": views.repeat,
    "pixel_shuffle": views.pixel_shuffle,
    "pixel_unshuffle": views.pixel_unshuffle,
}
"""By name; what isn't here and isn't pointwise leaves the field unknown."""

VIEWS = frozenset(
    (
        *("alias", "detach", "lift_fresh", "view", "_unsafe_view", "reshape", "_reshape_alias", "permute", "transpose"),
        *("t", "unsqueeze", "squeeze", "expand", "slice", "select", "split", "split_with_sizes", "unbind"),
        *("as_strided", "unfold"),
    )
)
"""Those that only look at a tensor in another way: no layers of their own."""


def fields_after(call: Call) -> list[ReceptiveField]:
    """The fields of all outputs, UNKNOWN for those that can't be told."""
    rule = RULES.get(call.name) or (sums.elementwise if call.pointwise else None)
    try:
        found = rule(call) if rule else UNKNOWN
    except Untraceable:
        found = UNKNOWN
    fields = found if isinstance(found, list) else [found] * len(call.outputs)
    return [
        field if field.is_known and field.shape == tuple(output.shape) else UNKNOWN
        for field, output in zip(fields, call.outputs, strict=True)
    ]


def leaves_statistics_out(call: Call) -> bool:
    """Whether it normalises with statistics over positions, which the fields leave out."""
    if "norm" not in call.name or "normalized_shape" not in call.arguments:
        return call.name == "native_group_norm" or ("norm" in call.name and bool(call.arguments.get("training")))
    field = call.field(call["input"])
    if field is None or not field.is_known:
        return False
    last = [dim for reach in (*field.rows, *field.columns) for dim in reach.dims[-len(call["normalized_shape"]) :]]
    return any(factor.step for dim in last for factor in dim)


def is_pointwise(operation: Any) -> bool:
    return torch.Tag.pointwise in operation.tags
