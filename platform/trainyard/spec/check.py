"""Checks a job and a space against each other: whatever the space can propose must make a valid job."""

from collections.abc import Iterator

from trainyard.errors import Problem, SpecError
from trainyard.spec.check_points import point_flaws, start_flaws
from trainyard.spec.distributions import Categorical, Float, Int, Simplex
from trainyard.spec.fields import paths_of, put, takes_only_whole_numbers
from trainyard.spec.job import Job
from trainyard.spec.search import Asha, CmaEs, Grid, Median, NoScheduler, Pbt
from trainyard.spec.section import Flaw, Path
from trainyard.spec.source import COMMAND_LINE
from trainyard.spec.space import Space

_FIXED = {
    "name": "it names the job",
    "task": "trials of different tasks can't be compared",
    "objective": "trials with different objectives can't be compared",
    "data": "the data set is decoded once for all trials",
    "resources": "all slots of a sweep are alike",
}
"""Sections that no space can vary, and why."""

_FIXED_IN_A_TRIAL = ("model.", "training.epochs", "training.batch_size", "optimizer.name")
"""What population-based training can't change in the middle of a trial."""


def check(job: Job, space: Space | None = None) -> None:
    """Raise SpecError with everything in a space that doesn't fit a job.

    All paths must be the job's, the extremes and 100 random points of the space must make valid jobs, and the search
    settings must suit both. A job by itself was checked when it was made.
    """
    if space is None:
        return
    unfit = [flaw for name in space.parameters for flaw in _path_flaws(job, space, name)]
    flaws = [*unfit, *_search_flaws(job, space)]
    fitting = _without(space, {str(flaw.path[1]) for flaw in unfit})
    if fitting:
        flaws += point_flaws(job, fitting)
    flaws += start_flaws(job, space)
    problems = [*space.source.locate(flaws), *_overridden(job, space)]
    if problems:
        raise SpecError(dict.fromkeys(problems))


def _without(space: Space, names: set[str]) -> Space | None:
    """The space without some parameters and those whose `when` looks at them."""
    kept = {name: item for name, item in space.parameters.items() if name not in names}
    lost = {path for name in names for path in space.paths(name)}
    kept = {name: item for name, item in kept.items() if not lost & item.when.keys()}
    return Space(parameters=kept, search=space.search) if kept else None


def _overridden(job: Job, space: Space) -> Iterator[Problem]:
    given = {".".join(map(str, path)) for path in job.source.overridden}
    for name in space.parameters:
        for path in sorted(given & set(space.paths(name))):
            yield Problem(COMMAND_LINE, f"{path} is given here and searched by {space.source.file}. Keep one.")


def _path_flaws(job: Job, space: Space, name: str) -> Iterator[Flaw]:
    """What is wrong with the path of a parameter, and with those its `when` looks at."""
    at: Path = ("parameters", name)
    parameter = space.parameters[name]
    reason = _FIXED.get(name.partition(".")[0])
    if reason:
        yield Flaw(at, f"{name} can't be searched: {reason}. Set it in the job.")
        return
    if isinstance(parameter, Simplex):
        for path in space.paths(name):
            yield from _unknown(job, (*at, "over"), path)
    else:
        yield from _unknown(job, at, name)
    if isinstance(parameter, Float) and takes_only_whole_numbers(Job, name):
        yield Flaw((*at, "type"), f"{name} takes whole numbers. Use type: int, not float.")
    for path in parameter.when:
        yield from _unknown(job, (*at, "when", path), path)


def _unknown(job: Job, at: Path, path: str) -> Iterator[Flaw]:
    data = job.to_dict()
    try:
        put(Job, data, path, None)
    except LookupError as error:
        yield Flaw(at, str(error.args[0]))
        return
    inside = [inner for inner in [*job.values(), *paths_of(Job)] if inner.startswith(f"{path}.")]
    if inside:
        yield Flaw(at, f"{path} is a section; name one of its settings, such as {inside[0]}.")


def _search_flaws(job: Job, space: Space) -> Iterator[Flaw]:
    """What is wrong with the search settings for this job and these parameters."""
    search, scheduler = space.search, space.search.scheduler
    epochs = _most_epochs(job, space)
    first = ("grace", scheduler.grace) if isinstance(scheduler, Asha | Median) else None
    first = ("interval", scheduler.interval) if isinstance(scheduler, Pbt) else first
    if first and first[1] > epochs:
        field, value = first
        message = f"search.scheduler.{field} must be <= max epochs, got {field}={value}, epochs={epochs}."
        yield Flaw(("search", "scheduler", field), message)
    if len(job.objectives) > 1 and not isinstance(scheduler, NoScheduler):
        message = f"search.scheduler must be none for {len(job.objectives)} objectives, got {scheduler.name}."
        yield Flaw(("search", "scheduler"), f"{message} A scheduler compares one metric.")
    if isinstance(scheduler, Pbt):
        yield from _pbt_flaws(space)
    if isinstance(search.sampler, Grid):
        yield from _grid_flaws(space)
    if isinstance(search.sampler, CmaEs):
        yield from _cma_es_flaws(job, space)


def _most_epochs(job: Job, space: Space) -> int:
    searched = space.parameters.get("training.epochs")
    if isinstance(searched, Int):
        return searched.high
    if isinstance(searched, Categorical):
        return max((choice for choice in searched.choices if isinstance(choice, int)), default=job.training.epochs)
    return job.training.epochs


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


def _cma_es_flaws(job: Job, space: Space) -> Iterator[Flaw]:
    if len(job.objectives) > 1:
        message = f"search.sampler cma_es improves one objective, got {len(job.objectives)}. Use tpe."
        yield Flaw(("search", "sampler"), message)
    numbers = [dimension for dimension in space.dimensions() if dimension.kind != "categorical"]
    if len(numbers) < 2:
        message = f"search.sampler cma_es needs at least 2 parameters that are numbers, got {len(numbers)}. Use tpe."
        yield Flaw(("search", "sampler"), message)
