"""One trial on one worker: a job, trained epoch by epoch."""

import gc
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainyard.data.augment import Augmenter, EpochDraws, Share
from trainyard.data.columns import Columns, row_count
from trainyard.data.manifest import Manifest
from trainyard.data.rows import evaluation_batches, steps_per_epoch, training_rows
from trainyard.errors import Diverged
from trainyard.spec.job import Job
from trainyard.tasks.build import build_task
from trainyard.training.checkpoint import copied_to_cpu
from trainyard.training.early_stopping import EarlyStopping
from trainyard.training.failures import trial_errors
from trainyard.training.feed import Feed
from trainyard.training.learner import Learner
from trainyard.training.live import live_values
from trainyard.training.member import Member
from trainyard.training.model import seeded_model
from trainyard.training.optimizers import rate
from trainyard.training.scores import Scores
from trainyard.training.seeds import Stream, derived_seed, seeded

__all__ = ["Member", "Trial", "TrialData"]

STEPS_BETWEEN_CHECKS = 50
"""Reading the loss waits for the GPU, so whether it has diverged is looked for every so many steps."""

LARGEST_LOSS = 1e12
"""Beyond it a loss is as good as infinite, though float32 still holds it: Adam with lr=1e9 gets to 1e30 and stays."""

EVALUATION_FACTOR = 4
"""Batches of the evaluation are so much larger: without gradients they take less memory."""


ALONE = Member()


@dataclass(frozen=True, kw_only=True)
class TrialData:
    """The decoded splits of a job, and the manifest of their data set."""

    manifest: Manifest
    train: Columns
    evaluate: Columns


class Trial:
    """A job trained on some data, by this worker and its fellow members.

    All workers of a trial call the same methods in the same order. The same job, data and number of workers give the
    same numbers, on a CPU bit for bit; any number of workers trains on the same global batches. torch's global random
    state stays as it was. Whatever a model raises arrives as a TrialError, and the trial is of no use afterwards.
    """

    def __init__(self, job: Job, data: TrialData, *, member: Member = ALONE, directory: Path | None = None) -> None:
        """directory: where the user's own model is looked for. DataError if the data doesn't fit the job."""
        self._job = job
        self._member = member
        self._rows = row_count(data.train)
        self._steps = steps_per_epoch(rows=self._rows, batch_size=job.training.batch_size)
        self._evaluation_rows = evaluation_batches(
            rows=row_count(data.evaluate),
            size=EVALUATION_FACTOR * job.training.batch_size // member.workers,
            rank=member.rank,
            workers=member.workers,
        )
        self._image_size = data.train["image"].shape[2:]
        self._train_feed = Feed(data.train, member.torch_device)
        self._evaluation_feed = Feed(data.evaluate, member.torch_device)

        self._task = build_task(job, data.manifest, member.torch_device)
        self._augmenter = Augmenter(job.augmentations, seed=job.training.seed)
        few = next(self._train_feed.batches([np.arange(min(2, self._rows))]))
        model = seeded_model(job, self._task, few, member=member, directory=directory)
        self._learner = Learner(job, self._task, model, member=member, steps_per_epoch=self._steps)
        self._train_scores = Scores("train", self._task.loss.active_weights, self._task.training_meter(), member)
        self._evaluation_scores: Scores | None = None

        self.history: list[dict[str, float]] = []
        self._early_stopping = EarlyStopping.of(job)

    @property
    def finished_epochs(self) -> int:
        return len(self.history)

    @property
    def done(self) -> str | None:
        """Why there is no further epoch to train; None while there is."""
        if self.finished_epochs >= self._job.training.epochs:
            return "all epochs"
        return self._early_stopping.reason if self._early_stopping else None

    @property
    def stopped_early(self) -> bool:
        return self._early_stopping is not None and self._early_stopping.reason is not None

    def epoch(self) -> dict[str, float]:
        """Train an epoch, evaluate, and return the metrics. Diverged if a loss is NaN or infinite."""
        epoch = self.finished_epochs + 1
        started = time.perf_counter()
        metrics = self._train(epoch)
        trained = time.perf_counter()
        metrics |= self.evaluate()
        _require_sane(metrics["val/loss"], f"in the evaluation after epoch {epoch}")
        metrics["optimizer/lr"] = rate(self._learner.optimizer)
        metrics["seconds/train"] = trained - started
        metrics["seconds/evaluate"] = time.perf_counter() - trained
        self.history.append(metrics)
        if self._early_stopping:
            self._early_stopping.observe(metrics)
        return dict(metrics)

    def _train(self, epoch: int) -> dict[str, float]:
        rows, draws = self._rows_of(epoch), self._draws_of(epoch)
        seed = derived_seed(self._job.training.seed, Stream.STEPS, epoch, self._member.rank)
        with self._under_way(f"epoch {epoch}", seed):
            self._learner.train()
            self._train_scores.reset()
            for step, batch in enumerate(self._train_feed.batches(rows)):
                batch = self._task.augment(batch, draws, step)
                output, terms = self._learner.step(batch, (epoch - 1) * self._steps + step)
                self._train_scores.add(output, batch, terms)
                if (step + 1) % STEPS_BETWEEN_CHECKS == 0 or step + 1 == self._steps:
                    _require_sane(self._train_scores.loss(), f"by step {step + 1} of {self._steps} of epoch {epoch}")
            self._learner.evaluate()
            return self._train_scores.compute()

    def _rows_of(self, epoch: int) -> np.ndarray:
        """(steps, the worker's share of a batch)."""
        training, member = self._job.training, self._member
        place = {"rank": member.rank, "workers": member.workers}
        return training_rows(rows=self._rows, batch_size=training.batch_size, epoch=epoch, seed=training.seed, **place)

    def _draws_of(self, epoch: int) -> EpochDraws:
        member, (height, width) = self._member, self._image_size
        batch_size = self._job.training.batch_size
        share = Share(steps=self._steps, batch_size=batch_size, rank=member.rank, workers=member.workers)
        return self._augmenter.draw(epoch, share, height=height, width=width, device=member.torch_device)

    def evaluate(self) -> dict[str, float]:
        """The metrics of the evaluation split, every row counted once over all workers."""
        with self._under_way("evaluation", seed=0):
            scores = self._evaluation_scores
            if scores is None:
                weights = self._task.loss.active_weights
                scores = Scores("val", weights, self._task.evaluation_meter(), self._member)
                self._evaluation_scores = scores
            scores.reset()
            for batch in self._evaluation_feed.batches(self._evaluation_rows):
                output, terms = self._learner.answer(batch)
                scores.add(output, batch, terms)
            return scores.compute()

    @contextmanager
    def _under_way(self, doing: str, seed: int) -> Iterator[None]:
        with trial_errors(f"model {self._job.model.name}, {doing}"), seeded(seed, self._member.torch_device):
            yield

    def state(self) -> dict[str, Any]:
        """All that a later Trial of this job needs to go on as this one would: a copy, of CPU tensors and plain values.

        There is no random state in it: everything random follows from the seed, the epoch and the rank.
        """
        return {
            "history": [dict(metrics) for metrics in self.history],
            "learner": copied_to_cpu(self._learner.state()),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where the state was taken, with this trial's own settings. RunError if the model differs."""
        self.adopt_state(state)
        self.history = [dict(metrics) for metrics in state["history"]]
        if self._early_stopping:
            self._early_stopping.restart(self.history)

    def adopt_state(self, state: Mapping[str, Any]) -> None:
        """Take over what another trial has learnt (population based training), and keep the own epochs and settings."""
        self._learner.load_state(state["learner"])

    def live_values(self) -> dict[str, Any]:
        """The settings by path of the job, read back from the objects that work with them."""
        return live_values(learner=self._learner, task=self._task, augmenter=self._augmenter)

    def close(self) -> None:
        """Let go of everything on the device. The trial can't be used afterwards."""
        self.__dict__ = {"history": self.history, "_member": self._member}
        if self._member.torch_device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()


def _require_sane(loss: float, when: str) -> None:
    if not abs(loss) <= LARGEST_LOSS:  # also false for NaN
        raise Diverged(f"the loss is {loss:.4g} {when}")
