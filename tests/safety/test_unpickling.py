"""Nothing that comes from outside is unpickled: a pickle is a program.

Who may call an unpickler is listed here with what it is given; a new call has to be added, and so to be thought about.
"""

import ast
import contextlib
import io
import json
import os
import pickle
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainyard.data.formats.restricted_pickle import load_pickle
from trainyard.errors import RunError, TrainyardError
from trainyard.models.states import MAGIC, from_bytes
from trainyard.models.weights import read_file
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep.search.study import Study

PACKAGE = Path(__file__).parent.parent.parent / "platform" / "trainyard"

UNPICKLERS = {
    ("pickle", "load"),
    ("pickle", "loads"),
    ("pickle", "Unpickler"),
    ("cloudpickle", "load"),
    ("cloudpickle", "loads"),
    ("dill", "load"),
    ("dill", "loads"),
    ("joblib", "load"),
    ("torch", "load"),
    ("np", "load"),
    ("numpy", "load"),
    ("format", "read_array"),
    ("pd", "read_pickle"),
    ("yaml", "load"),
    ("yaml", "unsafe_load"),
    ("shelve", "open"),
    ("builtins", "eval"),
    ("builtins", "exec"),
}

OWN_MEMORY = {
    # Tasks that the driver put into Ray's own blocks.
    ("data/stream.py", "cloudpickle.loads"),
    # The restricted one: it finds stand-ins only.
    ("data/formats/restricted_pickle.py", "pickle.Unpickler"),
}
"""Where and what, for what never came from outside, or can't call anything."""


def unpicklings() -> Iterator[tuple[str, str, ast.AST]]:
    """(file, name, node) of each use of an unpickler in the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        file = str(path.relative_to(PACKAGE))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and (name := _called(node.func)) in UNPICKLERS:
                yield file, ".".join(name), node
            elif isinstance(node, ast.ClassDef):
                yield from (
                    (file, ".".join(name), node) for base in node.bases if (name := _called(base)) in UNPICKLERS
                )


def _called(function: ast.expr) -> tuple[str, str]:
    """(`np`, `load`) for `np.load`, (`cloudpickle`, `loads`) for `ray.cloudpickle.loads`, (`builtins`, `eval`)."""
    if isinstance(function, ast.Name):
        return "builtins", function.id
    if not isinstance(function, ast.Attribute):
        return "", ""
    owner = function.value
    if isinstance(owner, ast.Name | ast.Attribute):
        return (owner.id if isinstance(owner, ast.Name) else owner.attr), function.attr
    return "", function.attr


def _is_harmless(node: ast.AST) -> bool:
    """Says itself that it takes tensors and plain arrays only."""
    settings = {word.arg: word.value for word in getattr(node, "keywords", ())}
    only_weights, no_pickle = settings.get("weights_only"), settings.get("allow_pickle")
    return (isinstance(only_weights, ast.Constant) and only_weights.value is True) or (
        isinstance(no_pickle, ast.Constant) and no_pickle.value is False
    )


def test_unpicklers_are_given_nothing_from_outside() -> None:
    used = {(file, name) for file, name, node in unpicklings() if not _is_harmless(node)}
    assert used == OWN_MEMORY


def test_optunas_cma_es_which_unpickles_its_study_is_only_used_without_its_unpickler() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        bases = {
            base
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            and any(isinstance(part, ast.FunctionDef) and part.name == "_restore_optimizer" for part in node.body)
            for base in node.bases
        }
        used = {node for node in ast.walk(tree) if getattr(node, "id", getattr(node, "attr", "")) == "CmaEsSampler"}
        imported = [node.names for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert used <= bases, path
        assert not [name for names in imported for name in names if name.name == "CmaEsSampler" and name.asname], path


def test_no_unpickler_goes_by_another_name() -> None:
    """`from pickle import loads`, `from torch import load`: nobody would see what they are."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                owner = node.module.rpartition(".")[2]
                assert not {(owner, alias.name) for alias in node.names} & UNPICKLERS, path


CMA_ES = {
    "parameters": {
        "optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
        "optimizer.weight_decay": {"type": "float", "low": 1e-6, "high": 1e-2, "log": True},
    },
    "search": {"sampler": "cma_es", "trials": 12},
}


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "sprung"


def test_the_trap_works(mark: Path) -> None:
    pickle.loads(pickle.dumps(Trap(mark)))
    assert mark.exists()


def test_weights_are_read_without_running_what_they_hold(mark: Path, tmp_path: Path) -> None:
    torch.save({"layer": torch.ones(1), "trap": Trap(mark)}, tmp_path / "weights.pt")
    with pytest.raises(TrainyardError, match="could run code"):
        read_file(tmp_path / "weights.pt")
    assert not mark.exists()


def test_a_checkpoint_from_elsewhere_runs_nothing(mark: Path) -> None:
    """Its digest is right: whoever made it knew how."""
    import hashlib

    buffer = io.BytesIO()
    torch.save({"learner": {}, "trap": Trap(mark)}, buffer)
    content = buffer.getvalue()
    with pytest.raises(TrainyardError, match="can't be read"):
        from_bytes(MAGIC + hashlib.sha256(content).digest() + content)
    assert not mark.exists()


def test_a_pickle_of_cifar_runs_nothing(mark: Path) -> None:
    with pytest.raises(ValueError, match="refused"):
        load_pickle(pickle.dumps({"data": Trap(mark)}))
    assert not mark.exists()


def test_an_archive_of_objects_runs_nothing(mark: Path, tmp_path: Path) -> None:
    from trainyard.data.formats import import_dataset

    np.savez(tmp_path / "set.npz", images=np.array([Trap(mark)] * 2, object), labels=np.array([0, 1]))
    with pytest.raises(TrainyardError):
        import_dataset("npz", tmp_path / "out", source=tmp_path / "set.npz")
    assert not mark.exists()


def test_a_study_from_elsewhere_runs_nothing(mark: Path, tmp_path: Path, digits_job: Job) -> None:
    """Optuna keeps CMA-ES's optimizer as a pickle in `study.db`, and reads it for the next proposal."""

    def opened() -> Study:
        return Study(tmp_path / "study.db", name="s", job=digits_job, space=Space.from_dict(CMA_ES))

    study = opened()
    for _ in range(8):
        proposal = study.ask()
        assert proposal is not None
        study.tell(proposal.trial, "finished", [0.5 + proposal.trial / 100])
    del study
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as database, database:
        trap = json.dumps(pickle.dumps(Trap(mark)).hex())
        table = "trial_system_attributes"
        changed = database.execute(f"UPDATE {table} SET value_json = ? WHERE key LIKE '%:optimizer:0'", [trap])
        assert changed.rowcount > 0
        database.execute(f"DELETE FROM {table} WHERE key LIKE '%:optimizer:_' AND key NOT LIKE '%:0'")
    with pytest.raises(RunError, match=r"study\.db: .* asks for posix\.mkdir, .* is refused"):
        opened().ask()
    assert not mark.exists()
