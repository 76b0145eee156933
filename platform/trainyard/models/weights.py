"""Pretrained weights: torchvision's by name, or a file. What is read is data, never a pickle that could run code."""

import contextlib
import pickle
import re
import sys
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainyard.errors import StorageError, TrialError
from trainyard.models.hub import readable
from trainyard.models.states import MAGIC, from_bytes
from trainyard.spec.hints import listing
from trainyard.spec.pretrained import is_file

State = Mapping[str, Tensor]

_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.", "aux_classifier.")
"""Heads of googlenet, inception_v3 and the segmentation models that help their training only; our models have none."""

_DENSE_LAYER = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)")
"""Names in torchvision's weights of DenseNets: `norm.1.weight`, which is `norm1.weight` today."""

_NESTED = ("state_dict", "model")
"""Where training scripts put the weights, beside other things."""


def load_weights(
    net: nn.Module, weights: str, *, architecture: str, head: Sequence[str] = (), needed: Collection[str] | None = None
) -> None:
    """Put pretrained weights into one of torchvision's nets.

    weights: a name of torchvision's, or the path of a file: safetensors, what torch.save made of a state_dict, or the
    checkpoint of a trial that trained the same architecture.
    head: the net's tensors that depend on the number of classes. If the weights have others there, the net's stay.
    needed: the tensors that the weights must have; all but the head if absent.
    StorageError if this machine can't get them. TrialError if they don't fit: it names the first that are too many,
    missing or of another shape, or not finite.
    """
    state = read_file(Path(weights)) if is_file(weights) else _published(architecture, weights)
    own = net.state_dict()
    found = _renamed(state, own)
    if any(name not in found or found[name].shape != own[name].shape for name in head):
        for name in head:
            found.pop(name, None)
    wanted = (set(own) if needed is None else set(needed)) - set(head)
    misfits = [
        f"{name} is {_size(found[name])} and must be {_size(own[name])}"
        for name in own
        if name in found and found[name].shape != own[name].shape
    ]
    if not misfits:
        missing, unexpected = net.load_state_dict(found, strict=False)
        misfits = [f"{name} is missing" for name in missing if name in wanted]
        misfits += [f"{name} is unknown" for name in unexpected]
    if misfits:
        first = listing(misfits, last="and", most=4)
        raise TrialError(f"the weights {weights} don't fit {architecture}: {first}. Are they of another architecture?")
    # torchvision publishes weights of VGG-16 whose classifier is not a number: of use up to there.
    used = found if needed is None else [name for name in found if name in needed]
    broken = [name for name in used if found[name].is_floating_point() and not found[name].isfinite().all()]
    if broken:
        named = listing(broken, last="and", most=4)
        raise TrialError(f"the weights {weights} are not finite in {named}. Take those of a training that went well.")


def _renamed(state: State, own: Collection[str]) -> OrderedDict[str, Tensor]:
    """The weights by the names that the net has for them, where older versions and wrappers have others.

    A part of the path that all names begin with and that the net doesn't have is its wrapper's: `module.`, `net.`.
    """
    roots = {name.partition(".")[0] for name in own}
    names = {name: name for name in state}
    while names:
        first = {name.partition(".")[0] for name in names.values()}
        if len(first) > 1 or first <= roots or not all("." in name for name in names.values()):
            break
        names = {old: name.partition(".")[2] for old, name in names.items()}
    found = OrderedDict(
        (_DENSE_LAYER.sub(r"\1\2", new), state[old])
        for old, new in names.items()
        if not new.startswith(_AUXILIARY) or new in own
    )
    # torch keeps the versions of modules beside the tensors, by the same paths. MNASNet insists on knowing its own.
    versions = getattr(state, "_metadata", None) if names == {name: name for name in state} else None
    found._metadata = versions or {"": {"version": 2}}  # type: ignore[attr-defined]
    return found


def _published(architecture: str, name: str) -> State:
    from torch.hub import get_dir
    from torchvision.models import get_model_weights

    published = get_model_weights(architecture)[name]
    kept = Path(get_dir()) / "checkpoints" / published.url.rpartition("/")[2]
    was_there = kept.exists()
    try:
        # What is being downloaded is printed, where machines may read the output.
        with contextlib.redirect_stdout(sys.stderr):
            state: State = published.get_state_dict(
                progress=False, check_hash=True, weights_only=True, map_location="cpu"
            )
    except Exception as error:  # a damaged file makes torch's reader raise whatever it stumbles over
        reason = _first_line(error)
        if was_there:
            raise StorageError(
                f"the weights {name} of {architecture} can't be read from {kept}: {reason}. Delete the file to have it "
                "downloaded anew."
            ) from error
        raise StorageError(
            f"the weights {name} of {architecture} can't be downloaded: {reason}. Put the file {published.url} there "
            f"by other means, as {kept}, or name another file as weights."
        ) from error
    return state


def read_file(path: Path, *, under: tuple[str, ...] = ("",)) -> State:
    """The tensors of a file by name: safetensors, what torch.save made of a state_dict, or the checkpoint of a trial.

    under: how the names of those that are needed begin; of a safetensors file no others are read. StorageError if the
    file is not there, damaged, or refused by the system; TrialError if it holds something else.
    """
    with readable(path):
        return _read(path, under)


def _read(path: Path, under: tuple[str, ...]) -> State:
    """OSError as the system raises it."""
    try:
        if path.stat().st_size == 0:
            raise StorageError(f"the weights {path} are an empty file.")
        if path.suffix == ".safetensors":
            from safetensors import SafetensorError, safe_open

            try:
                with safe_open(path, "pt") as stored:
                    names: list[str] = list(stored.keys())
                    return {name: stored.get_tensor(name) for name in names if name.startswith(under)}
            except SafetensorError as error:
                raise StorageError(f"the weights {path} are no safetensors file: {_first_line(error)}.") from error
        with path.open("rb") as file:
            of_a_trial = file.read(len(MAGIC)) == MAGIC
        if of_a_trial:
            return _tensors(from_bytes(path.read_bytes(), f"the checkpoint {path}").get("learner"), path)
        return _tensors(torch.load(path, map_location="cpu", weights_only=True), path)
    except pickle.UnpicklingError as error:
        raise TrialError(
            f"the weights {path} aren't read: they are no tensors, or hold other Python objects too, which could run "
            "code. Save them with torch.save(model.state_dict(), path), or as safetensors."
        ) from error
    except (OSError, StorageError, TrialError):
        raise
    except Exception as error:  # a damaged file makes torch's reader raise whatever it stumbles over
        raise StorageError(f"the weights {path} can't be read: {_first_line(error)}.") from error


def _tensors(loaded: Any, path: Path) -> State:
    """The tensors by name in what a file holds."""
    for place in (loaded, *(loaded.get(name) for name in _NESTED if isinstance(loaded, Mapping))):
        if isinstance(place, Mapping) and place and all(isinstance(value, Tensor) for value in place.values()):
            return place
    raise TrialError(
        f"the weights {path} hold no tensors by name, neither as a whole nor under {listing(_NESTED)}. Save them with "
        "torch.save(model.state_dict(), path)."
    )


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).partition("\n")[0].rstrip(".")
