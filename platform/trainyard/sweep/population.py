"""Population based training over a space (Jaderberg et al. 2017, arXiv:1711.09846)."""

import random
from types import SimpleNamespace
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining

from trainyard.spec.dimension import Dimension
from trainyard.spec.job import Job
from trainyard.spec.search import Pbt
from trainyard.spec.space import Space

RESAMPLE = 0.25
"""Chance of a dimension to be drawn anew instead of being moved (section 4.1 of the paper; Ray's default too)."""


class Population(PopulationBasedTraining):
    """The worse trials take over the weights of the better, with changed values.

    Values change within the space, conditions and simplices included; Ray's own rules know neither.
    """

    def __init__(self, job: Job, space: Space, settings: Pbt, **common: Any) -> None:
        super().__init__(
            **common,
            perturbation_interval=settings.interval,
            # All trials reach an exchange before it is made. Otherwise one that starts first, or trains faster, is at
            # its end before another has a result to compare with.
            synch=True,
            quantile_fraction=settings.quantile,
            custom_explore_fn=lambda config: config,
            log_config=False,
        )
        self._job = job
        self._space = space
        self._random = random.Random(space.search.seed)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Ray refuses a searcher beside its population, as each would change the other's values.

        Ours only draws the first values, and is told at the end what became of the trial.
        """
        super().on_trial_add(SimpleNamespace(search_alg=None), trial)

    def _get_new_config(self, trial: Trial, trial_to_clone: Trial) -> tuple[dict[str, Any], dict[str, Any]]:
        """The values of `trial_to_clone`, changed; the trial keeps its own number and epochs."""
        values = perturbed(self._space, self._job, trial_to_clone.config["values"], self._random)
        return {**trial.config, "values": values}, {}


def perturbed(space: Space, job: Job, values: dict[str, Any], generator: random.Random) -> dict[str, Any]:
    """A point of the space near `values`: each dimension drawn anew, or moved by a fifth of its value."""
    dims = space.dims_from(values)

    def suggest(dim: Dimension) -> Any:
        if dim.name not in dims or generator.random() < RESAMPLE:
            return dim.draw(generator)
        return _moved(dim, dims[dim.name], generator)

    return dict(space.resolve(job, suggest).values)


def _moved(dim: Dimension, value: Any, generator: random.Random) -> Any:
    up = generator.random() < 0.5
    if dim.points is not None:  # to the neighbour: a fifth of it may be no value of this dimension
        place = dim.points.index(value if dim.kind == "categorical" else dim.nearest(value)) + (1 if up else -1)
        return dim.points[min(max(place, 0), len(dim.points) - 1)]
    return min(max(value * (1.2 if up else 0.8), dim.low), dim.high)
