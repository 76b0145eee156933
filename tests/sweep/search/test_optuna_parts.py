"""The parts of Optuna, and of the cmaes behind it, that they promise nobody and that are replaced here.

Where one is missing, look at what took its place in sweep/search/cma_es.py before the bound in pyproject.toml is
raised: an override that is called no more fails nothing, and lets Optuna unpickle what is in a study.
"""

import inspect
import re
from pathlib import Path

import cmaes
import optuna
from optuna.samplers import CmaEsSampler

from trainyard.sweep.search.cma_es import _STAND_INS

OVERRIDDEN = {"_restore_optimizer"}
USED = {"_attr_key_optimizer", "_concat_optimizer_attrs"}

UNPICKLING = {"samplers/_cmaes.py", "storages/journal/_storage.py", "testing/pytest_storages.py"}
"""Files of Optuna with an unpickler: the one that is overridden, a storage that is not used, tests."""


def test_optuna_has_what_is_used() -> None:
    assert {name for name in OVERRIDDEN | USED if not hasattr(CmaEsSampler, name)} == set()


def test_optuna_calls_the_override_itself() -> None:
    text = inspect.getsource(CmaEsSampler.sample_relative)
    assert "optimizer = self._restore_optimizer(completed_trials)" in text


def test_optuna_unpickles_an_optimizer_there_and_nowhere_else() -> None:
    assert "pickle.loads(" in inspect.getsource(CmaEsSampler._restore_optimizer)
    assert inspect.getsource(inspect.getmodule(CmaEsSampler)).count("pickle.load") == 1  # type: ignore[arg-type]


def test_optuna_unpickles_in_no_other_file() -> None:
    home = Path(optuna.__file__).parent
    found = {
        str(path.relative_to(home))
        for path in home.rglob("*.py")
        if re.search(r"(pickle|dill|joblib)\.(load|Unpickler)|\bfrom (cloud)?pickle\b", path.read_text())
    }
    assert found == UNPICKLING


def test_an_optimizer_is_the_class_that_is_stood_in_for() -> None:
    assert set(_STAND_INS) == {(cmaes.CMA.__module__, cmaes.CMA.__qualname__)}
    assert {"__getstate__", "__setstate__"} <= vars(cmaes.CMA).keys()
