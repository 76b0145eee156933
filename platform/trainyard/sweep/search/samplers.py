"""Optuna's samplers, by the settings that a space declares."""

import warnings

import optuna
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler

from trainyard.spec.search import CmaEs, Gp, Grid, Qmc, Random, Sampler, Tpe
from trainyard.sweep.search.cma_es import RestrictedCmaEsSampler


def build_sampler(settings: Sampler, *, seed: int, asked: int) -> BaseSampler:
    """The sampler that `settings` declare, seeded. The points of a grid are queued by the study, so any will do.

    asked: proposals made before a resume. A generator must not repeat them, so its seed moves on with them; a
    quasi-random sequence is found again by its seed, and goes on where it stood.
    """
    if not isinstance(settings, Qmc):
        seed += asked
    with warnings.catch_warnings():
        # "multivariate", QMC and GP are marked experimental in Optuna 5; nothing of theirs but the name is used here.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return _build(settings, seed)


def _build(settings: Sampler, seed: int) -> BaseSampler:
    match settings:
        case Tpe(startup_trials=startup):
            # Dimensions under a condition are not in every trial: `group` models each set that occurs on its own.
            return TPESampler(seed=seed, n_startup_trials=startup, multivariate=True, group=True)
        case CmaEs(startup_trials=startup):
            return RestrictedCmaEsSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
        case Gp(startup_trials=startup):
            return GPSampler(seed=seed, n_startup_trials=startup)
        case Qmc():
            return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)
        case Random() | Grid():
            return RandomSampler(seed=seed)


def wants_all_dimensions(settings: Sampler) -> bool:
    """Whether the sampler works on one fixed set of dimensions, so that those under a condition are asked for always.

    The values of dimensions whose condition does not hold are then dropped.
    """
    return isinstance(settings, Qmc | CmaEs | Gp)
