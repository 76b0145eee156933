"""Learning-rate schedules."""

import math

import pytest
import torch

from trainyard.spec import schedule as spec
from trainyard.training.schedules import schedule_factor

STEPS, EPOCHS = 10, 6


def factors(settings: spec.Schedule, *, steps: int = STEPS, epochs: int = EPOCHS) -> list[float]:
    return [
        schedule_factor(settings, step=step, steps_per_epoch=steps, epochs=epochs) for step in range(steps * epochs)
    ]


@pytest.mark.parametrize("pct_start", [0.1, 0.3, 0.55, 0.9])
def test_one_cycle_is_torchs(pct_start: float) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=60, pct_start=pct_start, div_factor=10, final_div_factor=100
    )
    expected = []
    for _ in range(60):
        expected.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    settings = spec.OneCycle(name="one_cycle", pct_start=pct_start, div_factor=10, final_div_factor=100)
    assert factors(settings) == pytest.approx(expected)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_one_cycle_of_very_few_steps(steps: int) -> None:
    assert all(0 < factor <= 1 for factor in factors(spec.OneCycle(name="one_cycle"), steps=steps, epochs=1))


def test_constant_rises_to_one_and_stays() -> None:
    rising = [(step + 1) / 15 for step in range(15)]
    assert factors(spec.Constant(name="constant", warmup_epochs=1.5)) == pytest.approx(rising + [1.0] * 45)
    assert set(factors(spec.Constant(name="constant"))) == {1.0}


def test_cosine_falls_from_one_to_its_final_fraction() -> None:
    values = factors(spec.Cosine(name="cosine", warmup_epochs=1, final_fraction=0.1))
    assert values[9] == values[10] == 1
    assert values[-1] == pytest.approx(0.1)
    assert values[10:] == sorted(values[10:], reverse=True)
    expected = [0.1 + 0.9 * (1 + math.cos(math.pi * step / 49)) / 2 for step in range(50)]
    assert values[10:] == pytest.approx(expected)


def test_step_drops_after_so_many_epochs() -> None:
    values = factors(spec.Step(name="step", every_epochs=2, gamma=0.5))
    assert values == [1.0] * 20 + [0.5] * 20 + [0.25] * 20


def test_a_warm_up_longer_than_the_training_never_ends() -> None:
    for settings in (spec.Constant(name="constant", warmup_epochs=12), spec.Cosine(name="cosine", warmup_epochs=12)):
        assert factors(settings)[-1] == pytest.approx(0.5)
