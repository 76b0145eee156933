"""Checks search settings against a job and the parameters: sampler, scheduler and objectives must suit each other."""

from collections.abc import Iterator
from itertools import islice
from math import prod

from trainyard.spec.grid import grid
from trainyard.spec.hints import listing
from trainyard.spec.job import Job
from trainyard.spec.search import Asha, CmaEs, Grid, Median, NoScheduler, Pbt
from trainyard.spec.section import Flaw
from trainyard.spec.space import Space
from trainyard.spec.tasks import STEPS_TO_TARGET, TASKS

_FIXED_IN_A_TRIAL = ("model.", "training.batch_size", "optimizer.name")
"""What population-based training can't change in the middle of a trial."""


def search_flaws(job: Job, space: Space) -> Iterator[Flaw]:
    """What is wrong with the search settings for this job and these parameters."""
    yield from _scheduler_flaws(job, space)
    if isinstance(space.search.sampler, Grid):
        yield from _grid_flaws(space)
    if isinstance(space.search.sampler, CmaEs):
        yield from _cma_es_flaws(job, space)
    yield from _measure_flaws(job, space)


def _scheduler_flaws(job: Job, space: Space) -> Iterator[Flaw]:
    scheduler, epochs = space.search.scheduler, job.training.epochs
    if isinstance(scheduler, NoScheduler):
        return
    first = ("grace", scheduler.grace) if isinstance(scheduler, Asha | Median) else None
    first = ("interval", scheduler.interval) if isinstance(scheduler, Pbt) else first
    if first and first[1] > epochs:
        field, value = first
        message = f"search.scheduler.{field} must be <= max epochs, got {field}={value}, epochs={epochs}."
        yield Flaw(("search", "scheduler", field), message)
    if len(job.objectives) > 1:
        message = f"search.scheduler must be none for {len(job.objectives)} objectives, got {scheduler.name}."
        yield Flaw(("search", "scheduler"), f"{message} A scheduler compares one metric.")
    if job.objectives[0].metric == STEPS_TO_TARGET:
        message = f"search.scheduler must be none for the objective {STEPS_TO_TARGET}, got {scheduler.name}."
        yield Flaw(("search", "scheduler"), f"{message} A scheduler compares trials before they reach their target.")
    if "training.epochs" in space.parameters:
        rule = f"training.epochs can't be searched with the scheduler {scheduler.name}: its time is the job's epochs"
        message = f"{rule}. Set them in the job, or use the scheduler none."
        yield Flaw(("parameters", "training.epochs"), message, (("search", "scheduler"),))
    if isinstance(scheduler, Pbt):
        yield from _pbt_flaws(space)


def _pbt_flaws(space: Space) -> Iterator[Flaw]:
    for name in space.parameters:
        if name.startswith(_FIXED_IN_A_TRIAL):
            message = f"{name} can't be searched with the scheduler pbt: it can't change in the middle of a trial."
            yield Flaw(("parameters", name), message)
    if space.search.trials < 2:
        yield Flaw(("search", "trials"), "search.trials must be >= 2 for the scheduler pbt, got 1.")


def _grid_flaws(space: Space) -> Iterator[Flaw]:
    for parameter, own in space.ordered.items():
        if any(dimension.count is None for dimension in own):
            message = f"{parameter} has no end of values, and grid takes every one. Give it a step or choices."
            yield Flaw(("parameters", parameter), message)


def short_grid_flaws(job: Job, space: Space) -> Iterator[Flaw]:
    """A grid of which the default of search.trials would quietly leave out a part.

    Walks the grid, so paths and starting points must be in order.
    """
    finite = all(dimension.count is not None for dimension in space.dimensions())
    if not isinstance(space.search.sampler, Grid) or not finite or "trials" in space.search.model_fields_set:
        return
    trials, starts = space.search.trials, [space.dims_from(point) for point in space.search.start_from]
    others = (point for point in grid(space, job) if point not in starts)
    if len(starts) + sum(1 for _ in islice(others, trials + 1)) > trials:
        most = prod(dimension.count or 1 for dimension in space.dimensions()) + len(starts)
        rule = f"search.trials must be stated for a grid of more than {trials} points"
        yield Flaw(("search", "sampler"), f"{rule}. Write trials: {most} to run every one.")


def _cma_es_flaws(job: Job, space: Space) -> Iterator[Flaw]:
    if len(job.objectives) > 1:
        message = f"search.sampler cma_es improves one objective, got {len(job.objectives)}. Use tpe."
        yield Flaw(("search", "sampler"), message)
    numbers = [dimension for dimension in space.dimensions() if dimension.kind != "categorical"]
    if len(numbers) < 2:
        message = f"search.sampler cma_es needs at least 2 parameters that are numbers, got {len(numbers)}. Use tpe."
        yield Flaw(("search", "sampler"), message)


def _measure_flaws(job: Job, space: Space) -> Iterator[Flaw]:
    """What is searched and trials are measured with: each would have a measure of its own."""
    targets = [name for name in space.parameters if name.startswith("training.target.")]
    if targets and any(objective.metric == STEPS_TO_TARGET for objective in job.objectives):
        message = f"{targets[0]} can't be searched for the objective {STEPS_TO_TARGET}: each trial would be measured"
        yield Flaw(("parameters", targets[0]), f"{message} with a target of its own. Set it in the job.")
    yield from _loss_measure_flaws(job, space)


def _loss_measure_flaws(job: Job, space: Space) -> Iterator[Flaw]:
    searched = [name for name in space.parameters if name.partition(".")[0] == "loss"]
    if not searched:
        return
    at, what = ("parameters", searched[0]), listing(searched, last="and")
    other = next(metric for metric in TASKS[job.task].metrics if not _is_loss(metric))
    for objective in job.objectives:
        if _is_loss(objective.metric):
            message = f"{what} can't be searched for the objective {objective.metric}: each trial would be measured"
            yield Flaw(at, f"{message} with a loss of its own. Take another objective, such as {other}.")
    stopping = job.training.early_stopping
    if stopping and _is_loss(stopping.metric):
        message = f"{what} can't be searched with early stopping on {stopping.metric}: each trial would be stopped"
        yield Flaw(at, f"{message} by a loss of its own. Watch another metric, such as {other}.")


def _is_loss(metric: str) -> bool:
    return metric.endswith("/loss")
