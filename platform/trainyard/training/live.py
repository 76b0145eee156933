"""The settings that a trial works with, read back from the objects that do the work."""

from typing import Any

from trainyard.spec.section import flatten, plain
from trainyard.tasks.task import Task
from trainyard.training import optimizers
from trainyard.training.learner import Learner
from trainyard.training.splits import TrainingSplit


def live_values(*, learner: Learner, task: Task, training: TrainingSplit) -> dict[str, Any]:
    """By path of the job. Of a model, what it tells by a method `live_values`; not every model has one."""
    model_values = getattr(learner.model, "live_values", dict)
    sections = {
        "data": {"image_size": plain(training.resized_to)},
        "model": model_values(),
        "optimizer": optimizers.live_values(learner.optimizer),
        "schedule": plain(learner.schedule),
        "augmentations": plain(training.augmenter.settings),
        "training": {
            "clip_grad_norm": learner.clip_grad_norm,
            "precision": learner.precision.name,
            "sampling": plain(training.sampling),
            "last_batch": training.last_batch,
            "steps_per_epoch": training.most_steps,
        },
    }
    # Of a task, what it is asked for beside a loss; not every task is asked for anything.
    values = {**flatten(sections), **task.loss.live_values(), **getattr(task, "live_values", dict)()}
    return {path: value for path, value in values.items() if value is not None}
