"""Pretrained weights of SAM, by the names that transformers has for its tensors."""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from trainyard.errors import TrialError
from trainyard.models.hub import located
from trainyard.models.weights import read_file
from trainyard.spec.hints import listing

_SHARED = "shared_image_embedding.positional_embedding", "prompt_encoder.shared_embedding.positional_embedding"
"""One tensor by two names. Files have the first, or both."""


def load_weights(model: nn.Module, weights: str, *, architecture: str) -> None:
    """Put pretrained weights into a model with the tensors of transformers' SamModel, or with a part of them.

    StorageError if this machine can't get them. TrialError if they don't fit: it names the first that are missing or of
    another shape, or not finite.
    """
    own = model.state_dict()
    parts = tuple({f"{name.partition('.')[0]}." for name in own} | {f"{_SHARED[0].partition('.')[0]}."})
    found = _named_alike(read_file(located(weights), under=parts))
    misfits = list(_misfits(own, found))
    if misfits:
        first = listing(misfits, last="and", most=4)
        raise TrialError(f"the weights {weights} don't fit {architecture}: {first}. Are they of another architecture?")
    broken = [name for name in own if not found[name].isfinite().all()]
    if broken:
        named = listing(broken, last="and", most=4)
        raise TrialError(f"the weights {weights} are not finite in {named}. Take those of a training that went well.")
    model.load_state_dict({name: found[name] for name in own})


def _named_alike(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    from_, to = _SHARED
    return {to: state[from_], **state} if from_ in state else dict(state)


def _misfits(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> Iterator[str]:
    for name, tensor in own.items():
        if name not in found:
            yield f"{name} is missing"
        elif found[name].shape != tensor.shape:
            sizes = ("x".join(map(str, one.shape)) for one in (found[name], tensor))
            yield "{} is {} and must be {}".format(name, *sizes)
