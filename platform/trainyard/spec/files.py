"""The files of weights that a job and its trials need: looked for before anything starts."""

from collections.abc import Iterator

from trainyard.errors import Problem, SpecError
from trainyard.spec.distributions import Categorical
from trainyard.spec.job import Job
from trainyard.spec.section import Flaw, dotted
from trainyard.spec.section import Path as SpecPath
from trainyard.spec.space import Space


def require_files(job: Job, space: Space | None = None) -> None:
    """SpecError with every file of weights that a job, or a choice of a space, names and that isn't there."""
    problems = [*job.source.locate(_missing(job)), *(_missing_of(job, space) if space is not None else ())]
    if problems:
        raise SpecError(dict.fromkeys(problems))


def _missing(job: Job) -> Iterator[Flaw]:
    for path, file in job.model.files():
        if not (job.working_directory / file).is_file():
            at: SpecPath = ("model", *path)
            folder = f" in {job.working_directory}" if not file.startswith("/") else ""
            yield Flaw(at, f"{dotted(at)}: there is no file {file}{folder}. Put it there, or name another.")


def _missing_of(job: Job, space: Space) -> Iterator[Problem]:
    for name, parameter in space.parameters.items():
        if not (isinstance(parameter, Categorical) and name.startswith("model.")):
            continue
        for index, choice in enumerate(parameter.choices):
            chosen = job.judge({name: choice})[0]
            for flaw in _missing(chosen) if chosen is not None else ():
                if dotted(flaw.path) == name:
                    yield from space.source.locate([Flaw(("parameters", name, "choices", index), flaw.message)])
