"""Hyperband over epochs (Li et al. 2018, arXiv:1603.06560), whose trials may lose their slots."""

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import HyperBandScheduler


class Brackets(HyperBandScheduler):
    """Ray's Hyperband, in which a trial whose slot died stays in its bracket.

    Ray takes it out, halves the bracket without it, and puts it into another one, where it is compared with trials that
    are epochs behind it, or into one of its own, where it beats nobody and trains to the end.
    """

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        if trial not in self._trial_info:
            super().on_trial_add(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        if not trial.should_recover():
            super().on_trial_error(tune_controller, trial)
            return
        bracket, _ = self._trial_info[trial]
        if not bracket.continue_trial(trial):
            # It died where it was to wait for the others. It trains on from there first: halving takes only trials that
            # wait or train, and Tune would end the sweep over one that has no slot yet.
            bracket._live_trials[trial] = None
