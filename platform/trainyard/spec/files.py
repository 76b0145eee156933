"""The files of weights that a job and its trials need: looked for before anything starts."""

from collections.abc import Iterator

from trainyard.errors import Problem, SpecError
from trainyard.spec.distributions import Categorical
from trainyard.spec.job import Job
from trainyard.spec.section import Flaw, dotted
from trainyard.spec.section import Path as SpecPath
from trainyard.spec.space import Space


def require_files(job: Job, space: Space | None = None, *, elsewhere: bool = False) -> None:
    """SpecError with every file of weights that a job, or a choice of a space, names and that isn't there.

    elsewhere: the job will run on other machines, on which files with an absolute path are theirs to have.
    """
    problems = [
        *job.source.locate(_missing(job, elsewhere)),
        *(_missing_of(job, space, elsewhere) if space is not None else ()),
    ]
    if problems:
        raise SpecError(dict.fromkeys(problems))


def files_of(job: Job, space: Space | None = None) -> list[str]:
    """Every file of weights that a job, or a choice of a space, names, as it is written there; each once."""
    jobs = [job, *(chosen for _, _, _, chosen in _chosen(job, space))] if space is not None else [job]
    return list(dict.fromkeys(file for one in jobs for _, file in one.model.files()))


def _missing(job: Job, elsewhere: bool) -> Iterator[Flaw]:
    for path, file in job.model.files():
        if elsewhere and file.startswith("/"):
            continue
        if not (job.working_directory / file).is_file():
            at: SpecPath = ("model", *path)
            folder = f" in {job.working_directory}" if not file.startswith("/") else ""
            yield Flaw(at, f"{dotted(at)}: there is no file {file}{folder}. Put it there, or name another.")


def _missing_of(job: Job, space: Space, elsewhere: bool) -> Iterator[Problem]:
    for name, index, path, chosen in _chosen(job, space):
        for flaw in _missing(chosen, elsewhere):
            if dotted(flaw.path) == name:
                yield from space.source.locate([Flaw((*path, index), flaw.message)])


def _chosen(job: Job, space: Space) -> Iterator[tuple[str, int, SpecPath, Job]]:
    """The job with each choice that a space has for its model: the parameter, the choice and its place, the job."""
    for name, parameter in space.parameters.items():
        if not (isinstance(parameter, Categorical) and name.startswith("model.")):
            continue
        for index, choice in enumerate(parameter.choices):
            chosen = job.judge({name: choice})[0]
            if chosen is not None:
                yield name, index, ("parameters", name, "choices"), chosen
