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

        A trial whose slot died is added again. It is still the member that it was: else its next result, at whatever
        epoch, would be taken to be the last that an exchange waits for.
        """
        if trial not in self._trial_state:
            super().on_trial_add(SimpleNamespace(search_alg=None), trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        decision = str(super().on_trial_result(tune_controller, trial, result))
        self._set_next_meeting(list(tune_controller.get_live_trials()))
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        super().on_trial_complete(tune_controller, trial, result)
        self._go_on_without(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        super().on_trial_error(tune_controller, trial)
        if trial.status != Trial.ERROR:  # else it goes on in another slot, and is waited for
            self._go_on_without(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        super().on_trial_remove(tune_controller, trial)
        self._go_on_without(tune_controller, trial)

    def _go_on_without(self, tune_controller: Any, ended: Trial) -> None:
        """Let the others exchange and go on, where they were waiting for a trial that has ended.

        Ray exchanges only when a result comes in, and nobody trains any more: the sweep would stand still for ever.
        """
        # Ray keeps the trial among the living for a moment. It neither gives nor takes, and nobody waits for it.
        own = self._trial_state[ended]
        own.last_score = None
        own.last_train_time = max(own.last_train_time, self._next_perturbation_sync)
        others = [trial for trial in tune_controller.get_live_trials() if trial is not ended]
        if others and self._all_wait(others):
            super().on_trial_result(tune_controller, others[0], self._trial_state[others[0]].last_result)
            self._set_next_meeting(others)

    def _set_next_meeting(self, trials: list[Trial]) -> None:
        """After an exchange, the epoch of the next one: later than where any of the trials is.

        Ray sets it to the furthest trial's epoch if that one is ahead, as a state brings its epochs along. Once the
        others have caught up, or have taken over the state of that trial, all of them wait for each other.
        """
        if trials and self._all_wait(trials):
            furthest = max(self._trial_state[trial].last_train_time for trial in trials)
            self._next_perturbation_sync = furthest + self._perturbation_interval

    def _all_wait(self, trials: list[Trial]) -> bool:
        return all(self._trial_state[trial].last_train_time >= self._next_perturbation_sync for trial in trials)

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
