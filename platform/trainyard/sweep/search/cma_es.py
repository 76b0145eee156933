"""Optuna's CMA-ES, whose study is read as data.

Optuna keeps the optimizer as a pickle among a trial's attributes, in `study.db`, and loads it again for each proposal:
whoever hands over a results folder, or may write the bucket, would run code on the driver. Here what is loaded is taken
for numbers and arrays, and put into an optimizer of our own making.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.samplers import CmaEsSampler
from optuna.trial import FrozenTrial

from trainyard.data.formats.restricted_pickle import load_pickle
from trainyard.errors import RunError


class RestrictedCmaEsSampler(CmaEsSampler):
    """Goes on as Optuna's own would. Raises RunError for a study whose optimizer is refused or damaged."""

    def _restore_optimizer(self, completed_trials: Sequence[FrozenTrial]) -> Any:
        """The optimizer that the newest of the trials keeps; None where none does."""
        for trial in reversed(completed_trials):
            parts = {key: part for key, part in trial.system_attrs.items() if key.startswith(self._attr_key_optimizer)}
            if parts:
                try:
                    return _optimizer(load_pickle(bytes.fromhex(self._concat_optimizer_attrs(parts)), _STAND_INS))
                except (ValueError, TypeError, KeyError, OverflowError) as error:
                    raise RunError(
                        f"study.db: what trial {trial.number} keeps of the optimizer of cma_es can't be read: {error}. "
                        "Restore the file from a backup, or start a new sweep."
                    ) from error
        return None


class _Kept:
    """Stands for the optimizer: what it is to be made of."""

    state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


_STAND_INS = {("cmaes._cma", "CMA"): _Kept}


def _optimizer(kept: object) -> Any:
    """An optimizer in the state that was kept. ValueError unless that has the names, kinds and shapes of one's own."""
    import cmaes

    state = kept.state if isinstance(kept, _Kept) else None
    if not isinstance(state, dict) or "_mean" not in state:
        raise ValueError("it is no optimizer")
    mean = np.atleast_1d(np.array(state["_mean"]))
    # Optuna scales every parameter to 0..1.
    optimizer = cmaes.CMA(mean=np.full(mean.size, 0.5), sigma=1.0, bounds=np.array([[0.0, 1.0]] * mean.size))
    own = optimizer.__getstate__()
    if own.keys() != state.keys():
        raise ValueError("it is an optimizer of another version of cmaes, or none")
    optimizer.__setstate__({name: _alike(name, state[name], own[name]) for name in own})
    return optimizer


def _alike(name: str, value: Any, own: Any) -> Any:
    """The value that was kept, of the kind of an optimizer's own."""
    if isinstance(own, np.ndarray):
        array = np.array(value)  # a copy: what lies in a pickle's bytes can't be written
        if array.dtype != own.dtype or array.shape != own.shape:
            raise ValueError(f"{name} must be {own.shape} of {own.dtype}, got {array.shape} of {array.dtype}")
        return array
    if own is None and value is None:
        return None
    if own is None or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a {type(own).__name__}, got a {type(value).__name__}")
    return type(own)(value)
