"""A model is tried out before training starts, and whatever it raises names the user's file and line."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from trainyard.data.split import TrialData
from trainyard.errors import TrialError
from trainyard.spec.job import Job
from trainyard.training.trial import Trial

MakeJob = Callable[..., Job]
HEAD = """
import torch
from torch import nn

def sequence(*layers):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 12), *layers)
"""


@pytest.fixture
def own_model(make_job: MakeJob, data: TrialData, tmp_path: Path) -> Iterator[Callable[[str], Trial]]:
    """own_model("line\\nline"): a trial of a job whose model is built by these lines."""
    path = list(sys.path)

    def build(body: str) -> Trial:
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        (tmp_path / "own_model.py").write_text(f"{HEAD}\ndef build(image, outputs):\n{lines}\n")
        return Trial(make_job(model={"name": "own_model:build"}), data, directory=tmp_path)

    yield build
    sys.path[:] = path
    sys.modules.pop("own_model", None)


def problem_of(build: Callable[[], object]) -> str:
    with pytest.raises(TrialError) as error:
        build()
    return str(error.value)


def test_an_own_model_trains(own_model: Callable[[str], Trial]) -> None:
    trial = own_model("return sequence(nn.ReLU(), nn.Linear(12, outputs))")
    assert trial.epoch()["train/loss"] > trial.epoch()["train/loss"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return undefined", "NameError: name 'undefined' is not defined (own_model.py:9)"),
        ("raise ValueError('first\\nsecond')", "model own_model:build: ValueError: first (own_model.py:9)"),
        (
            "return sequence(nn.Linear(7, outputs))",
            "mat1 and mat2 shapes cannot be multiplied (2x12 and 7x6)",
        ),
        (
            "return sequence(nn.Linear(12, outputs + 1))",
            "the model returned shape (2, 7) (torch.float32) for a batch of 2 images; classification with 6 classes "
            "needs a float tensor of logits of shape (2, 6).",
        ),
        ("return [sequence()]", "model own_model:build: it returned list, not a torch.nn.Module."),
        ("return nn.Flatten()", "model own_model:build: it has no trainable parameters."),
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library' (own_model.py:9)"),
        ("return sequence(", "SyntaxError: "),
    ],
    ids=["name", "raises", "sizes", "shape", "list", "parameters", "import", "syntax"],
)
def test_a_model_of_no_use_is_found_before_training(own_model: Callable[[str], Trial], body: str, message: str) -> None:
    assert message in problem_of(lambda: own_model(body))


def test_a_model_that_raises_while_training_names_the_epoch(own_model: Callable[[str], Trial]) -> None:
    body = """class Moody(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = sequence(nn.Linear(12, outputs))
    def forward(self, images):
        if self.training:
            raise RuntimeError("not today")
        return self.inner(images)
return Moody()"""
    trial = own_model(body)
    assert "model own_model:build, epoch 1: RuntimeError: not today (own_model.py:15)" in problem_of(trial.epoch)


def test_trying_it_out_leaves_its_statistics_and_the_random_state(own_model: Callable[[str], Trial]) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    trial = own_model("return sequence(nn.BatchNorm1d(12), nn.Dropout(), nn.Linear(12, outputs))")
    assert torch.equal(torch.rand(2), expected)
    statistics = dict(trial._learner.model.named_buffers())
    assert statistics["2.num_batches_tracked"] == 0
    assert not statistics["2.running_mean"].any()


def test_an_unknown_setting_of_an_own_model(
    own_model: Callable[[str], Trial], make_job: MakeJob, data: TrialData
) -> None:
    own_model("return sequence(nn.Linear(12, outputs))")
    directory = Path(sys.modules["own_model"].__file__ or "").parent
    job = make_job(model={"name": "own_model:build", "width": 3})
    assert "unexpected keyword argument 'width'" in problem_of(lambda: Trial(job, data, directory=directory))
