"""Files of pretrained weights: on this machine, or downloaded from Hugging Face's hub. Needs no torch."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from trainyard.errors import StorageError, TrialError
from trainyard.spec.pretrained import SUFFIXES

FILE = "model.safetensors"
"""What transformers calls the file of a model's weights."""


@contextlib.contextmanager
def readable(file: Path) -> Iterator[None]:
    """StorageError where a file of weights isn't there, or the system refuses it."""
    try:
        yield
    except FileNotFoundError as error:
        raise StorageError(f"the weights {file}: there is no such file on this machine. Put it there.") from error
    except OSError as error:
        raise StorageError(f"the weights {file} can't be read: {error.strerror or error}.") from error


def located(weights: str) -> Path:
    """The file of weights: `weights` itself, of a folder the one in it, of a repository what is downloaded from there.

    StorageError if the folder has no such file, or if the hub doesn't answer; TrialError if that has none.
    """
    if weights.endswith(SUFFIXES):
        return Path(weights)
    if weights.startswith(("/", ".", "~")) or Path(weights).is_dir():
        file = Path(weights).expanduser() / FILE
        if not file.is_file():
            raise StorageError(f"the weights {weights}: the folder has no {FILE}. Put it there.")
        return file
    return _downloaded(weights)


def _downloaded(repository: str) -> Path:
    """What is kept of it on this machine, or what the hub sends."""
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        # Every trial, worker and task asks: the hub itself is asked for what isn't here yet, and for nothing else.
        with contextlib.suppress(LocalEntryNotFoundError):
            return Path(hf_hub_download(repository, FILE, local_files_only=True))
        return Path(hf_hub_download(repository, FILE))
    except Exception as error:  # of the network, of the hub, of its client: there are a dozen kinds
        reason = (str(error).strip() or type(error).__name__).partition("\n")[0].rstrip(".")
        unreachable = isinstance(error, LocalEntryNotFoundError)
        refused = isinstance(error, RepositoryNotFoundError | EntryNotFoundError) and not unreachable
        raise (TrialError if refused else StorageError)(
            f"the weights {repository} can't be had from Hugging Face's hub: {reason}. Is that the repository's name? "
            f"Without internet, download its {FILE} elsewhere and name the file or its folder as model.weights; what "
            f"was downloaded before is looked for in {constants.HF_HUB_CACHE}."
        ) from error
