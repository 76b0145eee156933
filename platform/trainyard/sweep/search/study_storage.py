"""Optuna's study in memory, and every change of it in a database first.

Optuna reads from its database for each proposal, all trials that have not ended among it: with 64 slots that is much of
what a trial costs its driver. The driver is the only one who writes the study, so it may remember what it wrote.
"""

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


class StudyStorage(InMemoryStorage):
    """Reads from memory. What the database refuses has not happened in memory either."""

    def __init__(self, database: RDBStorage) -> None:
        """With all studies that the database has."""
        super().__init__()
        self._database = database
        self._stored_studies: list[int] = []
        self._stored_trials: list[int] = []
        for study in database.get_all_studies():
            here = super().create_new_study(study.directions, study.study_name)
            self._stored_studies.append(study._study_id)
            for key, value in study.user_attrs.items():
                super().set_study_user_attr(here, key, value)
            for key, value in study.system_attrs.items():
                super().set_study_system_attr(here, key, value)
            for trial in database.get_all_trials(study._study_id, deepcopy=False):
                super().create_new_trial(here, trial)
                self._stored_trials.append(trial._trial_id)

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        self._stored_studies.append(self._database.create_new_study(directions, study_name))
        return super().create_new_study(directions, study_name)

    def delete_study(self, study_id: int) -> None:
        raise NotImplementedError("a sweep's study goes with its folder")

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._database.set_study_user_attr(self._stored_studies[study_id], key, value)
        super().set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._database.set_study_system_attr(self._stored_studies[study_id], key, value)
        super().set_study_system_attr(study_id, key, value)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        self._stored_trials.append(self._database.create_new_trial(self._stored_studies[study_id], template_trial))
        return super().create_new_trial(study_id, template_trial)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        self._database.set_trial_param(self._stored_trials[trial_id], param_name, param_value_internal, distribution)
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        if not self._database.set_trial_state_values(self._stored_trials[trial_id], state, values):
            return False
        return super().set_trial_state_values(trial_id, state, values)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._database.set_trial_intermediate_value(self._stored_trials[trial_id], step, intermediate_value)
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._database.set_trial_user_attr(self._stored_trials[trial_id], key, value)
        super().set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._database.set_trial_system_attr(self._stored_trials[trial_id], key, value)
        super().set_trial_system_attr(trial_id, key, value)
