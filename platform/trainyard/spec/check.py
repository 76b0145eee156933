"""Checks a job and a space against each other: whatever the space can propose must make a valid job."""

from collections.abc import Iterator

from trainyard.errors import Problem, SpecError
from trainyard.spec.check_points import point_flaws, start_flaws
from trainyard.spec.check_search import search_flaws, short_grid_flaws
from trainyard.spec.distributions import Float, Simplex
from trainyard.spec.fields import paths_of, put, takes_only_whole_numbers
from trainyard.spec.fitting import unsearched
from trainyard.spec.job import Job
from trainyard.spec.section import Flaw, Path
from trainyard.spec.source import COMMAND_LINE
from trainyard.spec.space import Space

_FIXED = {
    "name": "it names the job",
    "task": "trials of different tasks can't be compared",
    "objective": "trials with different objectives can't be compared",
    "decision": "trials that decide by different rules can't be compared",
    "data": "the data set is decoded once for all trials",
    "prompts.per": "objects are told apart once for all trials, when the data set is decoded",
    "resources": "all slots of a sweep are alike",
    "model.features": "features are extracted once for all trials; the next sweep can take others",
}
"""Sections that no space can vary, and why."""


def check(job: Job, space: Space | None = None) -> None:
    """Raise SpecError with everything in a space that doesn't fit a job.

    All paths must be the job's, the extremes and 100 random points of the space must make valid jobs, and the search
    settings must suit both. A job by itself was checked when it was made.
    """
    if space is None:
        return
    unfit = [flaw for name in space.parameters for flaw in _path_flaws(job, space, name)]
    flaws = [*unfit, *search_flaws(job, space)]
    fitting = _without(space, {str(flaw.path[1]) for flaw in unfit})
    if fitting:
        flaws += point_flaws(job, fitting)
    starts = list(start_flaws(job, space, known=not unfit))
    flaws += starts
    if not unfit and not starts:
        flaws += short_grid_flaws(job, space)
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
    fixed = {**_FIXED, **unsearched(job)}
    reason = next((why for path, why in fixed.items() if f"{name}.".startswith(f"{path}.")), None)
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
