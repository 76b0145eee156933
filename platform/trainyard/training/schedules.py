"""Learning-rate schedules: the factor on the base learning rate, a pure function of the step."""

import math

from trainyard.spec import schedule as spec


def schedule_factor(settings: spec.Schedule, *, step: int, steps_per_epoch: int, epochs: int) -> float:
    """The factor of a step; steps count from 0 over all epochs."""
    last = steps_per_epoch * epochs - 1
    match settings:
        case spec.OneCycle():
            return _one_cycle(settings, step=step, last=last)
        case spec.Constant():
            return _warmup(settings.warmup_epochs, step, steps_per_epoch)
        case spec.Step():
            drops = step // (steps_per_epoch * settings.every_epochs)
            return _warmup(settings.warmup_epochs, step, steps_per_epoch) * settings.gamma**drops
        case spec.Cosine():
            warm = round(settings.warmup_epochs * steps_per_epoch)
            if step < warm:
                return _warmup(settings.warmup_epochs, step, steps_per_epoch)
            return _half_cosine(1.0, settings.final_fraction, _fraction(step, warm, last))


def _warmup(epochs: float, step: int, steps_per_epoch: int) -> float:
    """Rises linearly: the last step of the warm-up is the first with the whole rate."""
    steps = round(epochs * steps_per_epoch)
    return (step + 1) / steps if step < steps else 1.0


def _one_cycle(settings: spec.OneCycle, *, step: int, last: int) -> float:
    """torch.optim.lr_scheduler.OneCycleLR with cosine slopes, whose peak is at step pct_start x steps - 1."""
    first = 1 / settings.div_factor
    peak = max(0.0, settings.pct_start * (last + 1) - 1)
    if step < peak:
        return _half_cosine(first, 1.0, step / peak)
    return _half_cosine(1.0, first / settings.final_div_factor, _fraction(step, peak, last))


def _half_cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


def _fraction(step: float, start: float, end: float) -> float:
    return min(1.0, (step - start) / (end - start)) if end > start else 0.0
