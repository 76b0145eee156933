"""A model as it is asked for answers, and with what trains it: one step at a time."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainyard.errors import RunError
from trainyard.spec.job import Job
from trainyard.tasks.task import Batch, Output, Task
from trainyard.training.gradients.measuring import LayerNorms
from trainyard.training.member import Member
from trainyard.training.model import memory_format
from trainyard.training.optimizers import (
    build_optimizer,
    clip_gradients,
    load_optimizer_state,
    optimizer_state,
    set_rate,
)
from trainyard.training.precision import Precision
from trainyard.training.schedules import schedule_factor
from trainyard.training.workers import Replicas


class Responder:
    """The model of a trial as it is asked for answers, in the job's precision."""

    def __init__(self, job: Job, task: Task, model: nn.Module, *, member: Member) -> None:
        self.model = model
        self.precision = Precision(job.training.precision, member.torch_device)
        self._name = job.model.name
        self._task = task
        self._memory_format = memory_format(job)

    @torch.no_grad()
    def answer(self, batch: Batch) -> tuple[Output, dict[str, Tensor]]:
        """The model's answer to a batch and the terms of the loss; nothing is learnt."""
        with self.precision.forward_pass():
            output = self.model(*self._inputs(batch))
        return output, self._task.losses(output, batch)[1]

    def load_model(self, state: Mapping[str, Any]) -> None:
        """Take over the model of a Learner's state, and nothing else. RunError if it doesn't fit."""
        try:
            self.model.load_state_dict(state["model"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise self._misfit(error) from error

    def _misfit(self, error: Exception) -> RunError:
        return RunError(f"the state doesn't fit model {self._name}: {' '.join(str(error).split())}")

    def _inputs(self, batch: Batch) -> tuple[Any, ...]:
        images = batch["image"].contiguous(memory_format=self._memory_format)
        return self._task.inputs({**batch, "image": images})


class Learner(Responder):
    """The model of a trial with its optimizer, schedule and precision, the same on all workers after each step."""

    def __init__(
        self, job: Job, task: Task, model: nn.Module, *, member: Member, steps_per_epoch: int, share: float = 1.0
    ) -> None:
        """share: of this worker in each batch, as a part of what each would have if all had as many rows."""
        super().__init__(job, task, model, member=member)
        self.schedule = job.schedule
        assert job.optimizer is not None, "a model that is trained step by step has an optimizer"
        self.optimizer = build_optimizer(job.optimizer, model.parameters())
        self.clip_grad_norm = job.training.clip_grad_norm
        self._replicas = Replicas(model, member, share=share)
        self._share = share
        self._length = {"steps_per_epoch": steps_per_epoch, "epochs": job.training.epochs}
        watched = job.training.gradients
        self.norms = (
            LayerNorms(model, every_steps=watched.every_steps, steps_per_epoch=steps_per_epoch)
            if watched.monitor
            else None
        )
        """Of the model's layers, as far as they are watched."""

    def train(self) -> None:
        """Before the steps of an epoch."""
        self.model.train()

    def step(self, batch: Batch, step: int) -> tuple[Output, dict[str, Tensor]]:
        """Learn from a batch; the model's answer and the terms of the loss, detached. Steps count over all epochs."""
        factor = schedule_factor(self.schedule, step=step, **self._length)
        set_rate(self.optimizer, factor)
        self.optimizer.zero_grad()
        with self.precision.forward_pass():
            output = self._replicas.forward(*self._inputs(batch))
        loss, terms = self._task.losses(output, batch)
        # The workers' gradients are averaged, as if all had as many rows.
        self.precision.backward(loss if self._share == 1 else self._share * loss)
        self._replicas.average_gradients()
        norms = self.norms if self.norms is not None and self.norms.due(step) else None
        if norms is not None or self.clip_grad_norm is not None:
            self.precision.unscale(self.optimizer)
        if norms is not None:
            norms.before_update(step, factor)
        if self.clip_grad_norm is not None:
            clip_gradients(self.model.parameters(), self.clip_grad_norm)
        self.precision.step(self.optimizer)
        if norms is not None:
            norms.after_update()
        return _detached(output), terms

    def evaluate(self) -> None:
        """After the steps of an epoch, before answers are asked for and before the state is taken."""
        self._replicas.average_buffers()
        self.model.eval()

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": optimizer_state(self.optimizer),
            "precision": self.precision.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what was learnt; the settings stay those of the own job. RunError if it doesn't fit the model."""
        self.load_model(state)
        try:
            load_optimizer_state(self.optimizer, state["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise self._misfit(error) from error
        self.precision.load_state(state["precision"])


def _detached(output: Output) -> Output:
    """An answer without its gradients, whatever it is made of."""
    if isinstance(output, Tensor):
        return output.detach()
    if isinstance(output, Mapping):
        return {name: _detached(value) for name, value in output.items()}
    return [_detached(value) for value in output] if isinstance(output, list | tuple) else output
