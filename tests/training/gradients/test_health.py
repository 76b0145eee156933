"""What is judged from numbers alone: a training is a list of blocks."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from trainyard.errors import Diverged
from trainyard.spec.gradients import Gradients
from trainyard.training.gradients.health import Health
from trainyard.training.gradients.norms import Block, Norms, Sample

LAYERS = ("a", "b", "c", "d", "e", "f")
STEPS = 50
HEALTHY = {name: Norms(1.0, 10.0, 0.01) for name in LAYERS}


def health(**settings: Any) -> Health:
    outputs = dict.fromkeys(LAYERS, 100)
    return Health(Gradients(**settings), outputs, steps_per_epoch=100)


def block(
    index: int, loss: float, layers: Mapping[str, Norms] = HEALTHY, *, rate: float = 1.0, steps: int = STEPS
) -> Block:
    """The index-th block of so many steps, measured once in its middle and once at its end."""
    start = index * steps
    measured = [Sample(step=step, rate=rate, layers=layers) for step in (start + steps // 2, start + steps - 1)]
    return Block(start=start, end=start + steps, loss=loss, samples=measured)


def names(judge: Health) -> list[str]:
    return [finding.name for finding in judge.findings]


def trained(
    losses: Sequence[float], layers: Mapping[str, Norms], judge: Health | None = None, **options: Any
) -> Health:
    """The first block is a healthy one of the first loss; the layers are those of all later blocks."""
    judge = judge or health()
    judge.check(block(0, losses[0]))
    for index, loss in enumerate(losses[1:], 1):
        judge.check(block(index, loss, layers, **options))
    return judge


def with_gradients(**gradients: float) -> dict[str, Norms]:
    return {name: norms._replace(gradient=gradients.get(name, 1.0)) for name, norms in HEALTHY.items()}


def test_a_healthy_training_is_left_in_peace() -> None:
    assert names(trained([2.3, 1.5, 1.0, 0.7, 0.5, 0.4], HEALTHY)) == []


def test_the_end_of_a_training_with_small_gradients_is_healthy() -> None:
    faded = {name: Norms(1e-6, 12.0, 1e-9) for name in LAYERS}
    assert names(trained([2.3, 1e-4, 1e-5, 1e-5, 1e-5, 1e-5], faded)) == []


def test_gradients_that_vanish_toward_the_input() -> None:
    vanished = with_gradients(a=1e-9, b=1e-8, c=1e-6, d=1e-4, e=1e-2)
    (finding,) = trained([2.3] * 6, vanished).findings
    assert (finding.name, finding.layer) == ("vanishing", "a")
    assert finding.reason == (
        "its gradient's norm is 1e-09, against 1 in layer f near the output; a step changes it by 0.001 of its weights "
        "(for 100 steps, up to step 50 of epoch 2)"
    )


def test_what_vanishes_must_last() -> None:
    vanished = with_gradients(a=1e-9, b=1e-8, c=1e-6, d=1e-4, e=1e-2)
    judge = health()
    for index in range(12):
        judge.check(block(index, 2.3, HEALTHY if index % 2 else vanished))
    assert names(judge) == []


def test_a_single_layer_of_small_gradients_is_no_vanishing() -> None:
    assert names(trained([2.3] * 6, with_gradients(a=1e-9))) == []


def test_of_three_layers_none_vanishes() -> None:
    few = {name: norms for name, norms in with_gradients(a=1e-9, b=1e-4).items() if name in "abc"}
    assert names(trained([2.3] * 6, few)) == []


def test_gradients_that_float32_cannot_hold_vanish_and_are_not_dead() -> None:
    underflown = with_gradients(a=0, b=0, c=1e-40, d=1e-25, e=1e-10)
    assert names(trained([2.3] * 6, underflown)) == ["vanishing"]


def test_weights_that_shrink_toward_zero() -> None:
    shrunk = {**HEALTHY, "c": Norms(1.0, 0.05, 0.01)}
    (finding,) = trained([2.3] * 4, shrunk).findings
    assert (finding.name, finding.layer) == ("vanishing", "c")
    assert finding.reason.startswith("its weights' norm has shrunk from 10 to 0.05")


def test_a_dead_layer_is_the_one_nearest_to_the_output() -> None:
    (finding,) = trained([2.3] * 4, with_gradients(a=0, b=0, c=0)).findings
    assert (finding.name, finding.layer) == ("dead", "c")
    assert finding.reason.startswith("its gradient is exactly zero, as is that of layers a and b before it, while the")


def test_where_nothing_is_left_to_learn_nothing_is_dead() -> None:
    assert names(trained([2.3, 1e-4, 1e-5, 0.0, 0.0], with_gradients(**dict.fromkeys(LAYERS, 0.0)))) == []


def test_a_layer_that_gets_a_gradient_now_and_then_is_alive() -> None:
    judge = health()
    for index in range(6):
        quiet, loud = block(index, 2.3, with_gradients(a=0)).samples[0], block(index, 2.3).samples[1]
        judge.check(Block(start=50 * index, end=50 * index + 50, loss=2.3, samples=[quiet, loud]))
    assert names(judge) == []


def test_updates_of_no_size_stall() -> None:
    tiny = {name: Norms(1.0, 10.0, 1e-8) for name in LAYERS} | {"d": Norms(1.0, 10.0, 2e-8)}
    (finding,) = trained([2.3] * 4, tiny).findings
    assert (finding.name, finding.layer) == ("stalled", "d")
    assert finding.reason.startswith(
        "a step changes it by 2e-09 of its weights, and all others by less; the loss is 2.3, and was 2.3 at the first"
    )


def test_small_updates_of_a_warm_up_do_not_stall() -> None:
    tiny = {name: Norms(1.0, 10.0, 1e-8) for name in LAYERS}
    assert names(trained([2.3] * 4, tiny, rate=1e-6)) == []


def test_updates_that_float32_rounds_away_at_the_end_of_a_schedule_do_not_stall() -> None:
    judge, lost = trained([2.3] * 4, HEALTHY), {name: Norms(1.0, 10.0, 0.0) for name in LAYERS}
    for index, rate in enumerate([1e-4, 1e-6, 1e-9, 1e-12], 4):
        judge.check(block(index, 2.3, lost, rate=rate))
    assert names(judge) == []


def test_small_updates_at_the_end_do_not_stall() -> None:
    tiny = {name: Norms(1.0, 10.0, 1e-8) for name in LAYERS}
    assert names(trained([2.3, 1.0, 1.0, 1.0, 1.0], tiny)) == []


def test_a_loss_that_explodes_and_stays_ends_the_trial() -> None:
    grown = {**HEALTHY, "b": Norms(5000.0, 80.0, 1.0)}
    with pytest.raises(Diverged) as error:
        trained([2.3, 900.0, 1200.0, 1000.0], grown)
    assert error.value.reason == (
        "exploding, layer b: the loss is 1200 at step 50 of epoch 2, 522 times that of the first step; its gradient's "
        "norm is 5e+03 (first 1), its weights' norm 80 (first 10) (for 100 steps, up to step 50 of epoch 2)"
    )


def test_an_explosion_can_be_reported_only() -> None:
    grown = {**HEALTHY, "b": Norms(5000.0, 80.0, 1.0)}
    judge = trained([2.3, 900.0, 1200.0, 1000.0], grown, health(on_explosion="report"))
    assert [(finding.name, finding.layer) for finding in judge.findings] == [("exploding", "b")]


def test_swings_are_an_explosion() -> None:
    with pytest.raises(Diverged, match="exploding"):
        trained([2.3, 900.0, 40.0, 1500.0, 30.0, 800.0], HEALTHY)


def test_a_spike_that_comes_down_again_is_none() -> None:
    assert names(trained([2.3, 900.0, 400.0, 150.0, 40.0, 9.0, 2.0, 1.0], HEALTHY)) == []


def test_weights_that_grow_without_bound_while_the_loss_gets_worse() -> None:
    heavy = {**HEALTHY, "e": Norms(1.0, 5000.0, 1.0)}
    with pytest.raises(Diverged, match="exploding, layer e"):
        trained([2.3, 60.0, 60.0, 60.0], heavy)


def test_large_weights_with_a_loss_that_is_only_bad_are_none() -> None:
    heavy = {**HEALTHY, "e": Norms(500.0, 5000.0, 1.0)}
    assert names(trained([2.3, 6.0, 6.0, 6.0, 6.0], heavy)) == []


def test_weights_that_grow_while_the_loss_falls_are_learning() -> None:
    heavy = {**HEALTHY, "e": Norms(500.0, 5000.0, 1.0)}
    assert names(trained([2.3, 1.0, 0.5, 0.2, 0.1], heavy)) == []


def test_a_training_that_goes_on_from_trained_weights_may_rise() -> None:
    assert names(trained([1e-4, 0.02, 0.05, 0.05, 0.02], HEALTHY)) == []


def test_a_finding_is_made_once() -> None:
    assert names(trained([2.3] * 12, with_gradients(a=0))) == ["dead"]


def test_patience_is_counted_in_steps() -> None:
    judge = health(patience=20)
    for index in range(4):
        judge.check(block(index, 2.3, with_gradients(a=0), steps=5))
        assert names(judge) == (["dead"] if index == 3 else [])


@pytest.mark.parametrize("at", [1, 2, 3])
def test_going_on_from_a_state_neither_loses_nor_doubles_a_finding(at: int) -> None:
    losses, layers = [2.3] * 5, with_gradients(a=0)
    before = trained(losses[:at], layers)
    after = health()
    after.load_state(before.state())
    for index, loss in enumerate(losses[at:], at):
        after.check(block(index, loss, layers))
    assert after.findings == trained(losses, layers).findings
    assert names(after) == ["dead"]


def test_a_state_from_before_anything_was_watched() -> None:
    judge = trained([2.3] * 4, with_gradients(a=0))
    judge.load_state({})
    assert judge.findings == []


def broken(judge: Health, *samples: Sample) -> str:
    with pytest.raises(Diverged) as error:
        judge.check(Block(start=50, end=100, loss=2.3, samples=samples))
    return error.value.reason


def sample(step: int, **layers: Norms) -> Sample:
    return Sample(step=step, rate=1.0, layers=HEALTHY | layers)


def test_a_gradient_that_is_no_number_ends_the_trial_and_names_the_layer_where_it_began() -> None:
    nan = {name: Norms(math.nan, 10.0, 0.01) for name in "abc"}
    reason = broken(trained([2.3], HEALTHY), sample(60), sample(70, **nan))
    assert reason == (
        "the gradient's norm of layer a is nan at step 71 of epoch 1; it began in layer c, whose gradient's norm was "
        "nan at step 71 of epoch 1"
    )


def test_the_layer_that_had_grown_is_named_when_all_are_lost_at_once() -> None:
    nan = {name: Norms(math.nan, 10.0, math.nan) for name in LAYERS}
    reason = broken(trained([2.3], HEALTHY), sample(60, d=Norms(4e6, 30.0, 0.1)), sample(70, **nan))
    assert reason.endswith("; layer d stood out: its gradient's norm was 4e+06 at step 61 of epoch 1 (first 1)")


def test_a_step_that_is_far_too_large_is_named() -> None:
    nan = {name: Norms(math.nan, 10.0, math.nan) for name in LAYERS}
    reason = broken(trained([2.3], HEALTHY), sample(60, d=Norms(1.0, 10.0, 3e9)), sample(61, **nan))
    assert reason.endswith("; layer d stood out: step 61 of epoch 1 changed it by 3e+08 times its weights")


def test_weights_that_amplify_from_the_start_are_named() -> None:
    nan = {name: Norms(math.nan, 10.0, math.nan) for name in LAYERS} | {"b": Norms(math.nan, 5e6, math.nan)}
    with pytest.raises(Diverged) as error:
        health().check(Block(start=0, end=1, loss=2.3, samples=[sample(0, **nan)]))
    assert error.value.reason.endswith(
        "; layer b stood out: its first weights make what it is given about 5e+05 times as large"
    )


def test_what_comes_from_the_data_is_not_laid_on_a_layer() -> None:
    nan = {name: Norms(math.nan, 10.0, math.nan) for name in LAYERS}
    reason = broken(trained([2.3], HEALTHY), sample(60), sample(70, **nan))
    assert reason.endswith(
        "; it came over all layers at once at step 71 of epoch 1, and none had grown before: look at the data"
    )


def test_steps_that_the_scaler_leaves_out_are_no_harm_unless_all_are() -> None:
    over = {name: Norms(math.inf, 10.0, 0.0) for name in LAYERS}
    judge = Health(Gradients(), dict.fromkeys(LAYERS, 100), steps_per_epoch=100, skips=True)
    judge.check(block(0, 2.3, over))
    judge.check(block(1, 2.3))
    judge.check(block(2, 2.3, over))
    with pytest.raises(Diverged, match="the gradients overflow float16 in every step, so that nothing is learnt"):
        judge.check(block(3, 2.3, over))
