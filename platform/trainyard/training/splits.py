"""The batches of a worker, to train and to evaluate on."""

from collections.abc import Generator, Sequence

from trainyard.data.augment import Augmenter, Share
from trainyard.data.augment.mixing import mixes
from trainyard.data.columns import Columns
from trainyard.data.rows import EpochOrder
from trainyard.data.sampling import row_weights
from trainyard.data.split import Split
from trainyard.errors import DataError
from trainyard.spec.job import Job
from trainyard.spec.sampling import Shuffled
from trainyard.tasks.task import Batch, Task
from trainyard.training.feed import Feed
from trainyard.training.member import Member

EVALUATION_FACTOR = 4
"""Batches of the evaluation are so much larger: without gradients they take less memory."""


class TrainingSplit:
    """A worker's share of each global batch, drawn and augmented anew in each epoch."""

    def __init__(self, job: Job, split: Split, *, classes: Sequence[str], task: Task, member: Member) -> None:
        """classes: of the data set. DataError if the rows make no batch, or none of them is to be drawn."""
        self._training = job.training
        self._task = task
        self._member = member
        self._image_size = split.image_shape[1:]
        self.resized_to = None if job.data.image_size is None else self._image_size
        """(height, width) of the images where a job asks for a size; None: they are as stored."""
        self._feed = Feed(split, member.torch_device)
        self.augmenter = Augmenter(job.augmentations, seed=job.training.seed)
        self._paired = mixes(job.augmentations)
        self.sampling = job.training.sampling
        self.last_batch = job.training.last_batch
        drawn_alike = isinstance(self.sampling, Shuffled)
        self._weights = None if drawn_alike else row_weights(self.sampling, split.classes(), classes)
        self.most_steps = job.training.steps_per_epoch
        self.steps = self._order(epoch=1).steps(split.rows)
        """Of an epoch."""
        own = self._order(epoch=1).own
        self.share = (own.stop - own.start) * member.workers / job.training.batch_size
        """The rows of a step that are this worker's, as a part of what each would have if all had as many."""

    def few(self) -> Batch:
        """A batch of two rows as they are, to try a model on."""
        return self._feed.first(2)

    def batches(self, epoch: int) -> Generator[Batch, None, None]:
        """One for each step. Epochs count from 1."""
        order = self._order(epoch)
        share = Share(
            steps=self.steps,
            batch_size=order.batch_size,
            rank=order.rank,
            workers=order.workers,
            paired=self._paired,
        )
        height, width = self._image_size
        draws = self.augmenter.draw(epoch, share, height=height, width=width, device=self._member.torch_device)
        for step, batch in enumerate(self._feed.training(order)):
            yield self._task.augment(batch, draws, step)

    def _order(self, epoch: int) -> EpochOrder:
        return EpochOrder(
            epoch=epoch,
            seed=self._training.seed,
            batch_size=self._training.batch_size,
            last_batch=self.last_batch,
            most_steps=self.most_steps,
            weights=self._weights,
            rank=self._member.rank,
            workers=self._member.workers,
            paired=self._paired,
        )


class EvaluationSplit:
    """A worker's part of the rows to evaluate on."""

    def __init__(self, job: Job, split: Split, *, member: Member) -> None:
        """DataError if there are no rows at all."""
        if split.rows == 0:
            raise DataError("the split to evaluate on has no rows. Choose another data.evaluate_split.")
        self._size = EVALUATION_FACTOR * job.training.batch_size // member.workers
        self._member = member
        self._split = split
        self._feed = Feed(split, member.torch_device)

    def few(self) -> Batch:
        """A batch of two rows, to try a model on."""
        return self._feed.first(2)

    def batches(self) -> Generator[Batch, None, None]:
        """The rows that this worker evaluates."""
        return self._feed.evaluation(size=self._size, rank=self._member.rank, workers=self._member.workers)

    def some(self, rows: Sequence[int]) -> list[Columns]:
        """A few rows, wherever they are, as they are stored, in parts that are no larger than the batches."""
        return [self._feed.some(rows[start : start + self._size]) for start in range(0, len(rows), self._size)]

    def sent(self, columns: Columns) -> Batch:
        """Some rows as a batch."""
        return self._feed.sent(columns)

    def spread(self, count: int, *, classes: int) -> list[int]:
        """So many rows, each class as often as can be: the same in every trial on this split."""
        # Imported here: it brings what draws along.
        from trainyard.data.examples import spread_rows

        return spread_rows(self._split.classes(), classes=classes, count=count)

    def names(self, rows: Sequence[int]) -> list[str]:
        """What some rows were called in the source; nothing where that isn't known."""
        return self._split.names(rows)
