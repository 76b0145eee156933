"""Loads jobs and spaces from YAML files; everything wrong with them is said at once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from trainyard.errors import Problem, SpecError
from trainyard.spec.check import check
from trainyard.spec.fields import put_all
from trainyard.spec.job import Job
from trainyard.spec.overrides import read_overrides
from trainyard.spec.section import Section
from trainyard.spec.sentences import validate
from trainyard.spec.source import Source, by_line
from trainyard.spec.space import Space

S = TypeVar("S", bound=Section)


def load_job(path: Path, overrides: Sequence[str] = ()) -> Job:
    """The job in a file, with `path=value` overrides. Raises SpecError with everything wrong with either."""
    values, problems = read_overrides(overrides)
    return _whole(*_job(path, values), problems)


def load_space(path: Path, overrides: Sequence[str] = ()) -> Space:
    """The space in a file, with overrides such as `search.trials=5`. Raises SpecError like load_job."""
    values, problems = read_overrides(overrides)
    return _whole(*_space(path, values), problems)


def load(job: Path, space: Path | None = None, overrides: Sequence[str] = ()) -> tuple[Job, Space | None]:
    """A job and, if given, a space that fits it. Overrides of `search.` are the space's, all others the job's.

    Raises SpecError with everything wrong with the files and the overrides, and then with the two together.
    """
    values, problems = read_overrides(overrides)
    searched = {name: value for name, value in values.items() if space and name.startswith("search.")}
    found, wrong = _job(job, {name: value for name, value in values.items() if name not in searched})
    if space is None:
        return _whole(found, wrong, problems), None
    found_space, wrong_space = _space(space, searched)
    whole = _whole(found, [*wrong, *wrong_space], problems)
    assert found_space is not None
    check(whole, found_space)
    return whole, found_space


def _job(path: Path, values: Mapping[str, Any]) -> tuple[Job | None, list[Problem]]:
    job, source, problems = _read(Job, path, values)
    if job is not None:
        job._source, job._directory, job._working_directory = source, path.parent.absolute(), Path.cwd()
    return job, problems


def _space(path: Path, values: Mapping[str, Any]) -> tuple[Space | None, list[Problem]]:
    space, source, problems = _read(Space, path, values)
    if space is not None:
        space._source = source
    return space, problems


def _read(kind: type[S], path: Path, values: Mapping[str, Any]) -> tuple[S | None, Source, list[Problem]]:
    # Imported here: ruamel.yaml costs as much as the rest of spec together, and only reading needs it.
    from trainyard.spec.yaml_reader import read_file

    try:
        document = read_file(path, kind.__name__.lower())
    except SpecError as error:
        return None, Source(file=str(path)), list(error.problems)
    unknown = put_all(kind, document.data, values)
    source = replace(document.source, overridden=frozenset(tuple(name.split(".")) for name in values))
    spec, flaws = validate(kind, document.data, document.refused)
    problems = [*document.problems, *source.locate([*flaws, *unknown])]
    return (None if problems else spec), source, by_line(problems)


def _whole(spec: S | None, problems: Sequence[Problem], others: Sequence[Problem]) -> S:
    if problems or others:
        raise SpecError([*problems, *others])
    assert spec is not None
    return spec
