"""Hyperband over epochs (Li et al. 2018, arXiv:1603.06560), of whose trials any may end or lose its slot."""

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import HyperBandScheduler, TrialScheduler


class Brackets(HyperBandScheduler):
    """Ray's Hyperband, but for three things.

    - A trial whose slot died stays in its bracket. Ray takes it out, halves the bracket without it, and adds it to the
      bracket that is being filled: mostly another one, or one of its own, where it beats nobody and trains to the end.
    - A bracket goes on without a trial that ended. Ray's waits for ever where that is not its first rung.
    - One whose best trials are beyond its next rung already is halved on. Ray's waits for ever. A resumed sweep has
      such trials, as its brackets begin anew.
    """

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        if trial not in self._trial_info:
            super().on_trial_add(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        if trial.status != Trial.ERROR:  # Tune has given it that status where it goes on in another slot
            super().on_trial_error(tune_controller, trial)
            return
        bracket, _ = self._trial_info[trial]
        if trial in bracket.current_trials() and not bracket.continue_trial(trial):
            # It died where it was to wait for the others. It trains on from there first: halving takes only trials that
            # wait or train, and Tune would end the sweep over one that has no slot yet.
            bracket._live_trials[trial] = None

    def _process_bracket(self, tune_controller: Any, bracket: Any) -> str:
        action, stopped = TrialScheduler.PAUSE, False
        while bracket.current_trials():
            action = super()._process_bracket(tune_controller, bracket)
            bracket.is_being_processed = False
            stopped = stopped or action == TrialScheduler.STOP
            if not bracket.cur_iter_done() or bracket.finished():
                break
        return TrialScheduler.STOP if stopped else action
