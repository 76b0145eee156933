"""Files of weights are looked for before anything starts."""

from pathlib import Path
from typing import Any

import pytest

from trainyard.errors import SpecError
from trainyard.spec import load
from trainyard.spec.files import require_files

JOB = """
name: pictures
task: classification
data: {path: data/pictures}
model:
  name: torchvision
  architecture: resnet18
  weights: WEIGHTS
loss: {cross_entropy: {}}
optimizer: {name: adam, lr: 1e-3}
training: {epochs: 1, batch_size: 2}
objective: {metric: val/accuracy, mode: max}
"""
SPACE = """
parameters:
  model.weights: {type: categorical, choices: [null, IMAGENET1K_V1, weights/a.pth, weights/b.pth]}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with weights/a.pth in it, in which the command runs; the specs are elsewhere."""
    (tmp_path / "here" / "weights").mkdir(parents=True)
    (tmp_path / "here" / "weights" / "a.pth").touch()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def looked_for(place: Path, weights: str, *overrides: str, space: bool = False) -> str:
    """What is wrong; empty if all files are there."""
    (place / "job.yaml").write_text(JOB.lstrip().replace("WEIGHTS", weights))
    (place / "space.yaml").write_text(SPACE.lstrip())
    loaded: Any = load(place / "job.yaml", place / "space.yaml" if space else None, overrides)
    try:
        require_files(*loaded)
    except SpecError as error:
        return str(error).replace(str(place), "PLACE")
    return ""


@pytest.mark.parametrize("weights", ["weights/a.pth", "./weights/../weights/a.pth", "IMAGENET1K_V1", "null"])
def test_what_is_there_or_is_no_file(place: Path, weights: str) -> None:
    assert looked_for(place, weights) == ""


def test_a_file_that_is_not_there_is_named_with_its_line(place: Path) -> None:
    assert looked_for(place, "weights/b.pth") == (
        "PLACE/job.yaml:7: model.weights: there is no file weights/b.pth in PLACE/here. Put it there, or name "
        "another.\n1 problem. Nothing was started."
    )
    assert "there is no file PLACE/b.pth. Put" in looked_for(place, str(place / "b.pth"))


def test_a_folder_is_no_file(place: Path) -> None:
    (place / "here" / "weights" / "folder.pth").mkdir()
    assert "there is no file weights/folder.pth" in looked_for(place, "weights/folder.pth")


def test_a_file_of_an_override_is_blamed_on_the_command_line(place: Path) -> None:
    assert looked_for(place, "null", "model.weights=b.pth").startswith(
        "command line: model.weights: there is no file b.pth in PLACE/here."
    )


def test_every_file_that_a_space_may_choose_is_looked_for(place: Path) -> None:
    assert looked_for(place, "null", space=True) == (
        "PLACE/space.yaml:2: model.weights: there is no file weights/b.pth in PLACE/here. Put it there, or name "
        "another.\n1 problem. Nothing was started."
    )
