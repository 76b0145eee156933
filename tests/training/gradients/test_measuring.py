"""Norms by layer: equal to what one computes by hand, and without a trace in the training."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainyard.data.split import TrialData
from trainyard.models.locally_connected import LocallyConnected2d
from trainyard.spec.job import Job
from trainyard.training.gradients.measuring import FIRST_STEPS, LayerNorms, layers_of
from trainyard.training.gradients.norms import Sample
from trainyard.training.trial import Member, Trial

MakeJob = Callable[..., Job]


class Branched(nn.Module):
    """Called in another order than defined: `last` stands first. `tied` shares its weights with `first`."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(6, 2)
        self.first = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.tied = nn.Conv2d(1, 3, 3)
        self.tied.weight = self.first.weight
        self.frozen = nn.Linear(3, 6)
        self.frozen.requires_grad_(False)
        self.unused = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(1, 6))

    def forward(self, images: Tensor) -> Tensor:
        features = self.norm(self.first(images)).mean((2, 3))
        output: Tensor = self.last(self.frozen(features) * self.scale)
        return output


def one_step(model: nn.Module, norms: LayerNorms, step: int = 0, rate: float = 0.5) -> dict[str, dict[str, Tensor]]:
    """A step of gradient descent that is measured; gradients and weights before, and weights after, by name."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
    model(torch.randn(4, 1, 5, 5)).square().sum().backward()
    seen = {
        "gradient": {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None},
        "before": {name: p.detach().clone() for name, p in model.named_parameters()},
    }
    norms.before_update(step, rate)
    optimizer.step()
    norms.after_update()
    return {**seen, "after": {name: p.detach().clone() for name, p in model.named_parameters()}}


def measured(model: nn.Module) -> tuple[Sample, dict[str, dict[str, Tensor]]]:
    torch.manual_seed(0)
    norms = LayerNorms(model, every_steps=10, steps_per_epoch=100)
    seen = one_step(model, norms)
    (sample,) = norms.read()
    return sample, seen


def test_norms_are_those_computed_by_hand() -> None:
    sample, seen = measured(Branched())
    for name in ("first", "last"):
        path = f"{name}.weight"
        before, after = seen["before"][path], seen["after"][path]
        expected = (seen["gradient"][path].norm(), before.norm(), (after - before).norm())
        assert sample.layers[name] == pytest.approx([float(norm) for norm in expected], rel=1e-5)
    assert (sample.step, sample.rate) == (0, 0.5)


def test_layers_stand_in_the_order_of_the_forward_pass() -> None:
    sample, _ = measured(Branched())
    assert list(sample.layers) == ["scale", "first", "last"]


def test_frozen_shared_and_one_dimensional_weights_are_no_layers() -> None:
    assert [layer.name for layer in layers_of(Branched())] == ["scale", "last", "first", "unused"]


def test_a_layer_without_a_gradient_is_left_out() -> None:
    sample, _ = measured(Branched())
    assert "unused" not in sample.layers


def test_several_weights_of_a_module_are_one_layer() -> None:
    class Attention(nn.MultiheadAttention):
        def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
            rows = images.flatten(1, 2)
            return super().forward(rows, rows, rows)[0]

    model = nn.Sequential(Attention(5, 1, bias=False, kdim=5, vdim=5), nn.Linear(5, 1))
    sample, seen = measured(model)
    gradient = math.sqrt(float(seen["gradient"]["0.in_proj_weight"].square().sum()))
    assert sample.layers["0"].gradient == pytest.approx(gradient)
    assert list(sample.layers) == ["0", "0.out_proj", "1"]


def test_a_model_that_is_one_layer_goes_by_the_name_of_its_weights() -> None:
    class Flat(nn.Linear):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images.flatten(1))

    sample, _ = measured(Flat(25, 2))
    assert list(sample.layers) == ["weight"]


def test_a_model_without_weights_to_watch_is_never_due() -> None:
    norms = LayerNorms(nn.BatchNorm2d(1), every_steps=1, steps_per_epoch=1)
    assert not norms.due(0)
    assert norms.read() == []


def test_the_first_steps_one_in_so_many_and_the_last_of_each_epoch_are_measured() -> None:
    norms = LayerNorms(nn.Linear(2, 2), every_steps=30, steps_per_epoch=45)
    due = [step for step in range(100) if norms.due(step)]
    assert due == [*range(FIRST_STEPS), 30, 44, 60, 89, 90]


def test_norms_that_are_no_numbers_stay_so() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(25, 3), nn.Linear(3, 1))
    norms = LayerNorms(model, every_steps=1, steps_per_epoch=1)
    model(torch.full((2, 1, 5, 5), 1e38)).square().sum().backward()
    norms.before_update(0, 1.0)
    norms.after_update()
    (sample,) = norms.read()
    assert not sample.finite
    assert math.isfinite(sample.layers["1"].weight)


def test_norms_beyond_what_float16_holds_are_numbers() -> None:
    model = nn.Linear(100, 100, bias=False).half()
    nn.init.constant_(model.weight, 1000.0)
    norms = LayerNorms(model, every_steps=1, steps_per_epoch=1)
    model.weight.grad = torch.full_like(model.weight, 2000.0)
    norms.before_update(0, 1.0)
    with torch.no_grad():
        model.weight.zero_()
    norms.after_update()
    assert norms.read()[0].layers["weight"] == pytest.approx((200_000, 100_000, 100_000), rel=1e-4)


@pytest.mark.parametrize(
    ("layer", "given"),
    [
        (nn.Linear(300, 20, bias=False), (64, 300)),
        (nn.Conv2d(8, 16, 3, groups=2, bias=False), (4, 8, 24, 24)),
        (nn.ConvTranspose2d(64, 4, 4, stride=2, bias=False), (4, 64, 24, 24)),
        (LocallyConnected2d(16, 8, 3, image=(12, 12)), (32, 16, 12, 12)),
    ],
    ids=["dense", "convolution", "transposed", "locally connected"],
)
def test_a_layer_makes_what_it_is_given_as_large_as_its_norm_and_outputs_say(
    layer: nn.Module, given: tuple[int, ...]
) -> None:
    generator = torch.Generator().manual_seed(0)
    for name, weight in layer.named_parameters():
        nn.init.normal_(weight, std=0.0 if name == "bias" else 5.0, generator=generator)
    (measured_layer,) = layers_of(nn.Sequential(layer))
    outputs, (weight,) = measured_layer.outputs, measured_layer.weights
    assert outputs is not None
    gain = float(layer(torch.randn(given, generator=generator)).detach().std())
    assert gain == pytest.approx(float(weight.detach().norm()) / math.sqrt(outputs), rel=0.1)


def test_of_a_module_of_another_kind_the_outputs_are_not_known() -> None:
    (layer,) = layers_of(nn.Sequential(nn.Embedding(5, 3)))
    assert layer.outputs is None


def weights_of(trial: Trial) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = trial.state()["learner"]["model"]
    return weights


@pytest.mark.parametrize(
    "sections",
    [
        {"optimizer": {"name": "sgd", "lr": 0.1}, "training": {"clip_grad_norm": 0.5}},
        {"optimizer": {"name": "adamw", "lr": 0.01}, "training": {"precision": "bfloat16", "channels_last": True}},
        {"optimizer": {"name": "adam", "lr": 0.01}, "training": {"precision": "float16"}},
    ],
    ids=["clipped", "bfloat16", "float16"],
)
def test_watching_changes_nothing_of_the_training(make_job: MakeJob, data: TrialData, sections: dict[str, Any]) -> None:
    job = make_job(**sections)
    watched = Trial(job.with_values({"training.gradients.every_steps": 1}), data)
    alone = Trial(job.with_values({"training.gradients.monitor": False}), data)
    for _ in range(2):
        ours, theirs = watched.epoch(), alone.epoch()
        same = theirs.keys() - {"seconds/train", "seconds/evaluate"}
        assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    for name, weight in weights_of(alone).items():
        assert torch.equal(weight, weights_of(watched)[name])


def test_an_epoch_reports_each_layer(make_job: MakeJob, data: TrialData) -> None:
    metrics = Trial(make_job(), data).epoch()
    names = {name for name in metrics if name.startswith("gradients/")}
    assert names == {f"gradients/{layer}/{part}" for layer in ("0", "3", "8") for part in ("norm", "update")}
    assert all(0 < metrics[name] < 100 for name in names)


def test_nothing_is_reported_where_nothing_is_watched(make_job: MakeJob, data: TrialData) -> None:
    metrics = Trial(make_job(training={"gradients": {"monitor": False}}), data).epoch()
    assert not any(name.startswith("gradients/") for name in metrics)


def test_norms_are_taken_before_gradients_are_clipped(make_job: MakeJob, data: TrialData) -> None:
    """With a rate of next to nothing the weights are much the same in both."""
    optimizer = {"name": "sgd", "lr": 1e-5, "momentum": 0.0}
    free = Trial(make_job(optimizer=optimizer), data).epoch()
    clipped = Trial(make_job(optimizer=optimizer, training={"clip_grad_norm": 1e-3}), data).epoch()
    assert clipped["gradients/8/norm"] == pytest.approx(free["gradients/8/norm"], rel=1e-3)
    assert clipped["gradients/8/update"] < 0.1 * free["gradients/8/update"]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_on_a_gpu_norms_are_those_of_unscaled_gradients(make_job: MakeJob, data: TrialData, precision: str) -> None:
    job = make_job(training={"precision": precision})
    there = Trial(job, data, member=Member(device="cuda")).epoch()
    assert 0 < there["gradients/8/norm"] < 100  # float16's scale begins at 65,536


@pytest.mark.gpu
def test_a_gpu_is_not_waited_for_until_norms_are_read() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(25, 3), nn.Linear(3, 1)).cuda()
    norms = LayerNorms(model, every_steps=1, steps_per_epoch=1)
    model(torch.randn(2, 1, 5, 5, device="cuda")).square().sum().backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        norms.before_update(0, 1.0)
        norms.after_update()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert list(norms.read()[0].layers) == ["1", "2"]
