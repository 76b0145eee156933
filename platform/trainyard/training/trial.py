"""One trial on one worker: a job, trained epoch by epoch."""

import gc
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch

from trainyard.data.location import Location
from trainyard.data.split import TrialData
from trainyard.spec.job import Job
from trainyard.tasks.automatic import resolved
from trainyard.tasks.build import build_task
from trainyard.training.checkpoint import copied_to_cpu
from trainyard.training.early_stopping import EarlyStopping
from trainyard.training.failures import trial_errors
from trainyard.training.gradients.health import Finding
from trainyard.training.gradients.watch import Watch
from trainyard.training.learner import Learner
from trainyard.training.live import live_values
from trainyard.training.member import Member
from trainyard.training.model import seeded_model
from trainyard.training.optimizers import rate
from trainyard.training.pictures import Drawn, Gallery
from trainyard.training.scores import Scores
from trainyard.training.seeds import Stream, derived_seed, seeded
from trainyard.training.splits import EvaluationSplit, TrainingSplit
from trainyard.training.target import StepsToTarget

__all__ = ["ALONE", "Member", "Trial"]

ALONE = Member()


class Trial:
    """A job trained on some data, by this worker and its fellow members.

    All workers of a trial call the same methods in the same order. The same job, data and number of workers give the
    same numbers, on a CPU bit for bit; any number of workers trains on the same global batches. torch's global random
    state stays as it was. Whatever a model raises arrives as a TrialError, and the trial is of no use afterwards.
    """

    def __init__(self, job: Job, data: TrialData, *, member: Member = ALONE, directory: Path | None = None) -> None:
        """directory: where the user's own model is looked for. DataError if the data doesn't fit the job."""
        self._job = job = resolved(job, data.manifest)
        self._member = member
        self._task = build_task(job, data.manifest, member.torch_device)
        classes = data.manifest.classes
        self._training = TrainingSplit(job, data.train, classes=classes, task=self._task, member=member)
        self._evaluation = EvaluationSplit(job, data.evaluate, member=member)

        model = seeded_model(job, self._task, self._training.few(), member=member, directory=directory)
        self._learner = Learner(
            job, self._task, model, member=member, steps_per_epoch=self._training.steps, share=self._training.share
        )

        self._watch = Watch(
            job.training.gradients,
            self._learner.norms,
            steps_per_epoch=self._training.steps,
            skips=self._learner.precision.skips,
        )

        self._gallery = Gallery(
            job.pictured, self._evaluation, split_name=job.data.evaluate_split, classes=len(classes)
        )
        self._training_scores = Scores("train", self._task.loss.active_weights, self._task.training_meter(), member)
        self._evaluation_scores: Scores | None = None
        self._early_stopping = EarlyStopping.of(job)
        self._steps_to_target = StepsToTarget(job, steps_per_epoch=self._training.steps)
        self.history: list[dict[str, float]] = []
        """The metrics of every finished epoch."""

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

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found to be wrong with the gradients so far, the earliest first."""
        return self._watch.findings

    def epoch(self) -> dict[str, float]:
        """Train an epoch, evaluate, and return the metrics. Diverged if its numbers have no use, or no bounds."""
        epoch = self.finished_epochs + 1
        started = time.perf_counter()
        metrics = self._train(epoch)
        trained = time.perf_counter()
        metrics |= self.evaluate()
        self._watch.require_sane(metrics["val/loss"], f"in the evaluation after epoch {epoch}")
        metrics |= self._steps_to_target.of(metrics, self.history)
        metrics["optimizer/lr"] = rate(self._learner.optimizer)
        metrics["seconds/train"] = trained - started
        metrics["seconds/evaluate"] = time.perf_counter() - trained
        self.history.append(metrics)
        if self._early_stopping:
            self._early_stopping.observe(metrics)
        return dict(metrics)

    def _train(self, epoch: int) -> dict[str, float]:
        learner, scores, watch, steps = self._learner, self._training_scores, self._watch, self._training.steps
        seed = derived_seed(self._job.training.seed, Stream.STEPS, epoch, self._member.rank)
        with self._under_way(f"epoch {epoch}", seed):
            learner.train()
            scores.reset()
            watch.start(epoch)
            with closing(self._training.batches(epoch)) as batches:
                for step, batch in enumerate(batches, start=1):
                    output, terms = learner.step(batch, steps * (epoch - 1) + step - 1)
                    scores.add(output, batch, terms)
                    if watch.due(step):
                        watch.check(scores.loss(), step)
            learner.evaluate()
            return scores.compute() | watch.metrics()

    def evaluate(self) -> dict[str, float]:
        """The metrics of the evaluation split, every row counted once over all workers."""
        with self._under_way("evaluation", seed=0):
            scores = self._new_scores()
            with closing(self._evaluation.batches()) as batches:
                for batch in batches:
                    output, terms = self._learner.answer(batch)
                    scores.add(output, batch, terms)
            return scores.compute()

    def _new_scores(self) -> Scores:
        """Of the evaluation: made when first needed, once the first epoch is trained, as metrics are slow to import."""
        if self._evaluation_scores is None:
            weights, meter = self._task.loss.active_weights, self._task.evaluation_meter()
            self._evaluation_scores = Scores("val", weights, meter, self._member)
        self._evaluation_scores.reset()
        return self._evaluation_scores

    @contextmanager
    def _under_way(self, doing: str, seed: int) -> Iterator[None]:
        with trial_errors(f"model {self._job.model.name}, {doing}"), seeded(seed, self._member.torch_device):
            yield

    @property
    def draws(self) -> bool:
        """Whether there are pictures to draw."""
        return self._gallery.count > 0

    def draw(self, folder: Location | Path) -> Drawn:
        """Write pictures of what the model answers now to a folder, as files. One worker may do it without the others.

        Whatever goes wrong is told and never raised: a picture is worth no trial. What is told is kept there, too.
        """
        folder = Location.of(folder)
        try:
            with self._under_way("pictures", seed=0):
                drawn = self._gallery.draw(folder, task=self._task, learner=self._learner, epoch=self.finished_epochs)
        except Exception as error:
            drawn = Drawn(epoch=self.finished_epochs, trouble=str(error))
        drawn.keep(folder)
        return drawn

    def state(self) -> dict[str, Any]:
        """All that a later Trial of this job needs to go on as this one would: a copy, of CPU tensors and plain values.

        There is no random state in it: everything random follows from the seed, the epoch and the rank.
        """
        return {
            "history": [dict(metrics) for metrics in self.history],
            "learner": copied_to_cpu(self._learner.state()),
            "watch": self._watch.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where the state was taken, with the own settings. RunError if the model differs, or it lacks a part."""
        with trial_errors(f"model {self._job.model.name}, going on from a state"):
            self.adopt_state(state)
            self.history = [dict(metrics) for metrics in state["history"]]
            self._watch.load_state(state["watch"])
            if self._early_stopping:
                self._early_stopping.restart(self.history)

    def adopt_state(self, state: Mapping[str, Any]) -> None:
        """Take over what another trial has learnt (population based training), and keep the own epochs and settings."""
        self._learner.load_state(state["learner"])

    def live_values(self) -> dict[str, Any]:
        """The settings by path of the job, read back from the objects that work with them."""
        values = live_values(learner=self._learner, task=self._task, training=self._training)
        return values | ({"pictures.images": self._gallery.count} if self.draws else {})

    def close(self) -> None:
        """Let go of everything on the device. The trial can't be used afterwards."""
        self.__dict__ = {"history": self.history, "_member": self._member}
        if self._member.torch_device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()
