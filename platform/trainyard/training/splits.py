"""The batches of a worker, to train and to evaluate on."""

from collections.abc import Iterator

import numpy as np

from trainyard.data.augment import Augmenter, Share
from trainyard.data.columns import Columns, row_count
from trainyard.data.rows import evaluation_batches, steps_per_epoch, training_rows
from trainyard.spec.job import Job
from trainyard.tasks.task import Batch, Task
from trainyard.training.feed import Feed
from trainyard.training.member import Member

EVALUATION_FACTOR = 4
"""Batches of the evaluation are so much larger: without gradients they take less memory."""


class TrainingSplit:
    """A worker's share of each global batch, shuffled and augmented anew in each epoch."""

    def __init__(self, job: Job, columns: Columns, *, task: Task, member: Member) -> None:
        """DataError if there are fewer rows than a batch takes."""
        self._training = job.training
        self._task = task
        self._member = member
        self._rows = row_count(columns)
        self._image_size = columns["image"].shape[2:]
        self._feed = Feed(columns, member.torch_device)
        self.augmenter = Augmenter(job.augmentations, seed=job.training.seed)
        self.steps = steps_per_epoch(rows=self._rows, batch_size=job.training.batch_size)

    def few(self) -> Batch:
        """A batch of two rows as they are, to try a model on."""
        return next(self._feed.batches([np.arange(min(2, self._rows))]))

    def batches(self, epoch: int) -> Iterator[Batch]:
        """One for each step. Epochs count from 1."""
        rank, workers, batch_size = self._member.rank, self._member.workers, self._training.batch_size
        rows = training_rows(
            rows=self._rows, batch_size=batch_size, epoch=epoch, seed=self._training.seed, rank=rank, workers=workers
        )
        share = Share(steps=self.steps, batch_size=batch_size, rank=rank, workers=workers)
        height, width = self._image_size
        draws = self.augmenter.draw(epoch, share, height=height, width=width, device=self._member.torch_device)
        for step, batch in enumerate(self._feed.batches(rows)):
            yield self._task.augment(batch, draws, step)


class EvaluationSplit:
    """A worker's part of the rows to evaluate on."""

    def __init__(self, job: Job, columns: Columns, *, member: Member) -> None:
        """DataError if there are no rows at all."""
        size = EVALUATION_FACTOR * job.training.batch_size // member.workers
        self._rows = evaluation_batches(rows=row_count(columns), size=size, rank=member.rank, workers=member.workers)
        self._feed = Feed(columns, member.torch_device)

    def batches(self) -> Iterator[Batch]:
        return self._feed.batches(self._rows)
