"""A state of a trial, measured on one split: without an optimizer, without the rows that it was trained on.

The figures are those that a `Trial` of one worker comes to in its evaluations, number by number on the same device.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from trainyard.data.dataset import Dataset
from trainyard.data.manifest import Manifest
from trainyard.data.memory import free_memory
from trainyard.data.split import MemorySplit
from trainyard.errors import RunError
from trainyard.spec.decision import Argmax, Fixed
from trainyard.spec.job import Job
from trainyard.tasks.automatic import resolved
from trainyard.tasks.build import build_measuring, build_task
from trainyard.tasks.task import Task
from trainyard.training.failures import trial_errors
from trainyard.training.learner import Responder
from trainyard.training.member import Member
from trainyard.training.model import seeded_model
from trainyard.training.scores import Scores
from trainyard.training.seeds import seeded
from trainyard.training.splits import EvaluationSplit

if TYPE_CHECKING:  # decodes images, which only jobs of its kind need
    from trainyard.training.svm.split import FeatureSplit

AnySplit: TypeAlias = "MemorySplit | FeatureSplit"


def job_to_measure(job: Job, values: Mapping[str, Any], state: Mapping[str, Any], split: str) -> Job:
    """The job of a trial with these values, with another split to evaluate on.

    A threshold that its evaluations choose anew is the one that was chosen when the state was taken: chosen on the
    other split it would flatter the figures. RunError for one that is 1 when it is rounded, as it was recorded.
    """
    measured = job.with_values({**values, "data.evaluate_split": split})
    decision = measured.decision
    if decision is None or isinstance(decision.threshold, Argmax | Fixed):
        return measured
    chosen = state["history"][-1].get("val/threshold")
    if chosen == 1:
        raise RunError(
            "the threshold that was chosen is so near to 1 that it was recorded as 1, by which nothing would be "
            "positive. Train with a number as decision.threshold, or with label_smoothing, which keeps it lower."
        )
    # Without one nothing was taken to be positive.
    fixed = {"name": "fixed", "value": 1.0 if chosen is None else chosen}
    return measured.with_values({"decision.threshold": fixed})


def read_parts_here(job: Job, dataset: Dataset, device: str) -> Iterator[AnySplit]:
    """The rows of the job's split to evaluate on as its trials read them, in one part or several.

    DataError as Decoder, and as ExtractionReader where something is extracted from the images.
    """
    if job.model.extracts:
        from trainyard.training.extraction.here import read_evaluated_here

        yield read_evaluated_here(job, dataset, device)
        return
    from trainyard.data.local import read_parts

    yield from read_parts(dataset, job.data, job.prompts, free=free_memory())


def measure(
    job: Job,
    manifest: Manifest,
    parts: Iterator[AnySplit],
    state: Mapping[str, Any],
    *,
    member: Member,
    directory: Path | None = None,
) -> dict[str, float]:
    """The metrics of the job's split to evaluate on, their names beginning with its name.

    state: as a trial of the job gave it. parts: all rows of the split. directory: where the user's own model is.
    RunError if the state doesn't fit the model, DataError if the data doesn't fit the job.
    """
    split = job.data.evaluate_split
    if job.model.fitted:
        values = _measure_machine(job, manifest, parts, state)
        return {f"{split}/{name}": value for name, value in values.items()}
    job = resolved(job, manifest)
    task = build_task(job, manifest, member.torch_device)
    scores = Scores(split, task.loss.active_weights, task.evaluation_meter(), member)
    responder: Responder | None = None
    for part in parts:
        assert isinstance(part, MemorySplit)
        rows = EvaluationSplit(job, part, member=member)
        responder = responder or _responder(job, task, rows, state, member, directory)
        with (
            trial_errors(f"model {job.model.name}, evaluation"),
            seeded(0, member.torch_device),
            closing(rows.batches()) as batches,
        ):
            for batch in batches:
                output, terms = responder.answer(batch)
                scores.add(output, batch, terms)
    return scores.compute()


def _responder(
    job: Job, task: Task, rows: EvaluationSplit, state: Mapping[str, Any], member: Member, directory: Path | None
) -> Responder:
    """The model of the state."""
    model = seeded_model(job, task, rows.few(), member=member, directory=directory)
    responder = Responder(job, task, model, member=member)
    with trial_errors(f"model {job.model.name}, its state"):
        responder.load_model(state["learner"])
    model.eval()
    return responder


def _measure_machine(
    job: Job, manifest: Manifest, parts: Iterator[AnySplit], state: Mapping[str, Any]
) -> dict[str, float]:
    from trainyard.models.svm import SupportVectorMachine
    from trainyard.training.svm.split import FeatureSplit
    from trainyard.training.svm.trial import CPU, machine_metrics

    with trial_errors("model svm, its state"):
        machine = SupportVectorMachine.of_state(state["svm"])
    (part,) = parts
    assert isinstance(part, FeatureSplit)
    return machine_metrics(machine, part, build_measuring(job, manifest, CPU).meter())
