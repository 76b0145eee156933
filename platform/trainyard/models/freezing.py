"""Parts of a model that aren't trained: neither their parameters nor the running statistics of their norms change."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Self

from torch import nn

from trainyard.errors import TrialError


class PartlyFrozen(nn.Module):
    """A model of which parts stay in evaluation mode whatever `train()` says, once `freeze` was called.

    No graph is recorded, and no activation kept, as far as the layers are frozen from the input on: autograd starts
    where the first trained parameter is.
    """

    def __init__(self) -> None:
        super().__init__()
        self._frozen: tuple[nn.Module, ...] = ()

    def freeze(self, root: nn.Module, patterns: Sequence[str]) -> None:
        """Freeze what `patterns` name below `root`, one of the model's modules. TrialError, see `frozen_by`."""
        self._frozen = tuple(frozen_by(root, patterns))
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self


def frozen_by(root: nn.Module, patterns: Sequence[str]) -> list[nn.Module]:
    """Switch off the gradients of what patterns name; return the modules to be kept in evaluation mode.

    A pattern is the path of a module or of a parameter, in which `*` stands for any characters: `layer1` is all that is
    below it, `*.bias` every bias. Kept in evaluation mode are the modules that are named, with all below them, and
    norms of which every parameter is. TrialError for a pattern that names nothing.
    """
    modules, parameters = dict(root.named_modules()), dict(root.named_parameters())
    for pattern in patterns:
        if not any(_names(pattern, path) for path in (*modules, *parameters)):
            raise TrialError(f"freeze: no module or parameter is called {pattern}.{_hint(pattern, modules)}")
    for path, parameter in parameters.items():
        if any(_names(pattern, above) for pattern in patterns for above in _with_parents(path)):
            parameter.requires_grad_(False)
    return [
        module
        for path, module in modules.items()
        if any(_names(pattern, path) for pattern in patterns) or _is_frozen_norm(module)
    ]


def _names(pattern: str, path: str) -> bool:
    return path != "" and fnmatchcase(path, pattern)


def _with_parents(path: str) -> Iterator[str]:
    """`a.b.c`, `a.b` and `a`."""
    while path:
        yield path
        path = path.rpartition(".")[0]


def _is_frozen_norm(module: nn.Module) -> bool:
    own = list(module.parameters(recurse=False))
    return hasattr(module, "running_mean") and bool(own) and not any(parameter.requires_grad for parameter in own)


def _hint(pattern: str, paths: Iterable[str]) -> str:
    close = get_close_matches(pattern, [path for path in paths if path], n=1)
    if close:
        return f" Did you mean {close[0]}?"
    return f" Its parts are {', '.join(path for path in paths if path and '.' not in path)}."
