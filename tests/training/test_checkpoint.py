"""Checkpoints are whole or absent, and found out when damaged."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from trainyard.errors import RunError
from trainyard.training import checkpoint

STATE: dict[str, Any] = {"history": [{"val/loss": 0.5}], "weights": torch.arange(1000.0), "done": None}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    checkpoint.save_state(tmp_path / "state", STATE)
    return tmp_path / "state"


def test_a_state_comes_back_as_it_was(saved: Path) -> None:
    state = checkpoint.load_state(saved)
    assert torch.equal(state.pop("weights"), STATE["weights"])
    assert state == {"history": STATE["history"], "done": None}
    assert list(saved.parent.iterdir()) == [saved]


def test_bytes_and_files_hold_the_same(saved: Path) -> None:
    assert checkpoint.from_bytes(saved.read_bytes())["history"] == STATE["history"]


def test_saving_again_replaces(saved: Path) -> None:
    checkpoint.save_state(saved, {"history": []})
    assert checkpoint.load_state(saved) == {"history": []}


@pytest.mark.parametrize("place", [0, 20, 60, 3000, -1])
def test_a_changed_byte_is_found(saved: Path, place: int) -> None:
    damaged = bytearray(saved.read_bytes())
    damaged[place] ^= 1
    saved.write_bytes(damaged)
    with pytest.raises(RunError, match=r"the checkpoint .*state is damaged"):
        checkpoint.load_state(saved)


@pytest.mark.parametrize("kept", [0, 10, 1000, -1])
def test_a_torn_file_is_found(saved: Path, kept: int) -> None:
    saved.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(RunError, match=r"the checkpoint .*state is damaged"):
        checkpoint.load_state(saved)


def test_a_state_of_another_version_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes().replace(b"trainyard state 2\n", b"trainyard state 1\n"))
    with pytest.raises(RunError, match=r"the checkpoint .*state is damaged, or of another version of trainyard"):
        checkpoint.load_state(saved)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"can't read the checkpoint .*gone: No such file or directory"):
        checkpoint.load_state(tmp_path / "gone")


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "harm",))  # type: ignore[return-value]

    with pytest.raises(RunError, match=r"can't be read"):
        checkpoint.from_bytes(checkpoint.to_bytes({"state": Harm()}))
    (tmp_path / "state").write_bytes(pickle.dumps(Harm()))
    with pytest.raises(RunError, match=r"is damaged"):
        checkpoint.load_state(tmp_path / "state")
    assert not (tmp_path / "harm").exists()


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(file: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(RunError, match=r"can't write the checkpoint .*state: No space left on device"):
        checkpoint.save_state(saved, {"history": []})
    assert checkpoint.load_state(saved)["history"] == STATE["history"]
    assert list(saved.parent.iterdir()) == [saved]
