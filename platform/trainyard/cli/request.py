"""What was asked for on the command line: a sweep or a training, new or to go on, with its specs checked."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainyard.cli.options import job_and_space, one_job, results_option, split, trials_override
from trainyard.cli.submitted import submitted
from trainyard.cluster.shipment import own_models
from trainyard.data.location import Location
from trainyard.errors import Problem, SpecError, UsageError
from trainyard.spec.job import Job
from trainyard.spec.load import load, load_job
from trainyard.spec.scalars import show
from trainyard.spec.section import flatten
from trainyard.spec.space import Space
from trainyard.sweep.folder import SweepFolder


@dataclass(frozen=True, kw_only=True)
class Request:
    """A sweep, or without a space a single training, that was asked for.

    folder: that of the earlier run that is to go on; None for a new one.
    named: whether the user chose the name.
    """

    job: Job
    space: Space | None
    name: str
    results: Location
    folder: SweepFolder | None = None
    named: bool = True

    @property
    def noun(self) -> str:
        return "training" if self.space is None else "sweep"

    @property
    def resume_command(self) -> str:
        verb = "train" if self.space is None else "sweep"
        verb = f"submit {verb}" if submitted() else verb
        return f"trainyard {verb} --resume {self.name}{results_option(self.results)}"


def new_sweep(arguments: Sequence[str] | None, trials: int | None, name: str | None, results: Location) -> Request:
    """Raises SpecError with everything that is wrong with job, space and overrides."""
    job_file, space_file, overrides = job_and_space(arguments, "sweep")
    job, space = load(job_file, space_file, [*overrides, *trials_override(trials)])
    return Request(job=job, space=space, name=name or default_name(job), results=results, named=name is not None)


def resumed_sweep(arguments: Sequence[str] | None, trials: int | None, name: str, results: Location) -> Request:
    """The sweep as it was saved, with more trials if so many are asked for; its code is beside the job that is given.

    SpecError where the arguments say otherwise: half of its trials ran already.
    """
    folder = SweepFolder.resume(results, name)
    job, space = folder.job(), folder.space()
    if space is None:
        raise UsageError(f"{name} is a single training. Go on with it by `trainyard train --resume {name}`.")
    if trials is not None and trials > space.search.trials:
        space = _with_trials(space, trials)
    named, overrides = split(arguments)
    files = named or [folder.path / "job.yaml", folder.path / "space.yaml"]
    job_file, space_file, overrides = job_and_space([*map(str, files), *overrides], "sweep")
    given_job, given_space = load(job_file, space_file, [*overrides, *trials_override(trials)])
    _refuse_changes(name, _settings(job, space), _settings(given_job, given_space))
    job = folder.job(given_job.directory.resolve()) if named else job
    _require_code(job, space, name)
    return Request(job=job, space=space, name=name, results=results, folder=folder)


def new_training(arguments: Sequence[str] | None, name: str | None, results: Location) -> Request:
    """Raises SpecError with everything that is wrong with job and overrides."""
    file, overrides = one_job(arguments, "train")
    if file is None:
        raise UsageError("trainyard train takes a job, got none. Write: trainyard train JOB [path=value...]")
    job = load_job(file, overrides)
    return Request(job=job, space=None, name=name or default_name(job), results=results, named=name is not None)


def resumed_training(arguments: Sequence[str] | None, name: str, results: Location) -> Request:
    """The training as it was saved; its code is beside the job that is given. SpecError where that says otherwise."""
    folder = SweepFolder.resume(results, name)
    if folder.space() is not None:
        raise UsageError(f"{name} is a sweep. Go on with it by `trainyard sweep --resume {name}`.")
    file, overrides = one_job(arguments, "train")
    job = folder.job()
    given = load_job(file or folder.path / "job.yaml", overrides)
    _refuse_changes(name, _settings(job), _settings(given))
    job = folder.job(given.directory.resolve()) if file is not None else job
    _require_code(job, None, name)
    return Request(job=job, space=None, name=name, results=results, folder=folder)


def default_name(job: Job) -> str:
    """`<job>-<YYYYmmdd-HHMMSS>`, within the 63 characters of a name."""
    return f"{job.name[:47]}-{time.strftime('%Y%m%d-%H%M%S')}"


def _require_code(job: Job, space: Space | None, name: str) -> None:
    """UsageError where the user's own code is gone, as that of a submitted job is some time after it has ended."""
    models = own_models(job, space)
    if models and not job.directory.is_dir():
        files = "JOB" if space is None else "JOB SPACE"
        raise UsageError(
            f"{name}: the code of {models[0]} was in {job.directory}, which is gone. Name the files beside which it is "
            f"now: {files} --resume {name}."
        )


def _with_trials(space: Space, trials: int) -> Space:
    settings = space.to_dict()
    return Space.from_dict({**settings, "search": {**settings["search"], "trials": trials}})


def _settings(job: Job, space: Space | None = None) -> dict[str, Any]:
    """All settings by path, those of the space too."""
    return {**job.values(), **flatten(space.to_dict() if space is not None else {})}


def _refuse_changes(name: str, saved: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """SpecError naming every setting in which what was given differs from what was saved."""
    problems = [
        Problem(
            f"--resume {name}",
            f"{path} must stay {_said(saved, path)}, got {_said(given, path)}. Leave it as it was, or start anew.",
        )
        for path in dict.fromkeys([*saved, *given])
        if (path in saved, saved.get(path)) != (path in given, given.get(path))
    ]
    if problems:
        raise SpecError(problems)


def _said(values: Mapping[str, Any], path: str) -> str:
    return show(values[path]) if path in values else "absent"
