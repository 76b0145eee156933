"""Whether a model answers with the logits that its task asks for."""

from collections.abc import Sequence

from torch import Tensor

from trainyard.errors import TrialError


def require_logits(output: object, shape: Sequence[int], *, images: str, wanted: str) -> None:
    """TrialError unless the answer is a float tensor of a shape.

    images, wanted: what the batch has and who needs it, such as `2 images` and `classification with 10 classes`.
    """
    shape = tuple(shape)
    if not isinstance(output, Tensor):
        got = type(output).__name__
    elif tuple(output.shape) != shape or not output.is_floating_point():
        got = f"shape {tuple(output.shape)} ({output.dtype})"
    else:
        return
    raise TrialError(
        f"the model returned {got} for a batch of {images}; {wanted} needs a float tensor of logits of shape {shape}."
    )
