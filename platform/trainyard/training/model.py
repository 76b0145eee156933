"""A trial's model: built, on its device, and known to answer in the right shape."""

from pathlib import Path

import torch
from torch import nn

from trainyard.models.build import build_model
from trainyard.spec.job import Job
from trainyard.tasks.task import Batch, Task
from trainyard.training.failures import trial_errors
from trainyard.training.member import Member
from trainyard.training.precision import Precision
from trainyard.training.seeds import Stream, derived_seed, seeded


def seeded_model(job: Job, task: Task, batch: Batch, *, member: Member, directory: Path | None) -> nn.Module:
    """The job's model with the weights that its seed gives, on the worker's device; torch's random state stays as it
    was.

    batch: a small one, which the model is tried on. TrialError for whatever the model raises, and if its answer has the
    wrong shape; neither running statistics nor random state see the trial.
    """
    device = member.torch_device
    with trial_errors(f"model {job.model.name}"), seeded(derived_seed(job.training.seed, Stream.MODEL), device):
        channels, height, width = batch["image"].shape[1:]
        settings = job.model.located(job.working_directory)
        model = build_model(settings, (channels, height, width), task.outputs, directory)
        model.to(device).to(memory_format=memory_format(job))
        _try_out(model, task, batch, Precision(job.training.precision, device))
    return model


def memory_format(job: Job) -> torch.memory_format:
    return torch.channels_last if job.training.channels_last else torch.contiguous_format


def _try_out(model: nn.Module, task: Task, batch: Batch, precision: Precision) -> None:
    model.eval()
    with torch.no_grad(), precision.forward_pass():
        output = model(*task.inputs(batch))
    task.check_output(output, batch)
