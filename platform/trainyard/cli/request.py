"""What was asked for on the command line: a sweep or a training, new or to go on, with its specs checked."""

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainyard.cli.options import job_and_space, one_job, results_option, split, trials_override
from trainyard.cli.submitted import submitted, submitted_with
from trainyard.cluster.shipment import brings_files, own_models
from trainyard.data.location import Location
from trainyard.errors import Problem, SpecError, UsageError
from trainyard.spec.job import Job
from trainyard.spec.load import load, load_job
from trainyard.spec.scalars import show
from trainyard.spec.section import flatten
from trainyard.spec.space import Space
from trainyard.sweep.results.folder import SweepFolder


@dataclass(frozen=True, kw_only=True)
class Request:
    """A sweep, or without a space a single training, that was asked for.

    folder: that of the earlier run that is to go on; None for a new one.
    named: whether the user chose the name.
    arguments: the files, overrides and `--trials` that were given; without files it goes on as it was saved.
    """

    job: Job
    space: Space | None
    name: str
    results: Location
    folder: SweepFolder | None = None
    named: bool = True
    arguments: tuple[str, ...] = ()

    @property
    def noun(self) -> str:
        return "training" if self.space is None else "sweep"

    @property
    def resume_command(self) -> str:
        """To be copied. Of a submitted run it names the files where code or weights were shipped with them."""
        verb = "train" if self.space is None else "sweep"
        command = ["trainyard", verb, "--resume", self.name]
        if submitted():
            options = submitted_with()
            shipped = brings_files(self.job, self.space) or "--include" in options
            given = self.arguments if shipped else ()
            command = ["trainyard", "submit", verb, *given, "--resume", self.name, *options]
        return f"{shlex.join(command)}{results_option(self.results)}"


def new_sweep(arguments: Sequence[str] | None, trials: int | None, name: str | None, results: Location) -> Request:
    """Raises SpecError with everything that is wrong with job, space and overrides."""
    job_file, space_file, overrides = job_and_space(arguments, "sweep")
    job, space = load(job_file, space_file, [*overrides, *trials_override(trials)])
    return Request(
        job=job,
        space=space,
        name=name or default_name(job),
        results=results,
        named=name is not None,
        arguments=_arguments(arguments, trials),
    )


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
    _require_code(job, space, name, shipped=bool(named))
    given = _arguments(arguments, trials)
    return Request(job=job, space=space, name=name, results=results, folder=folder, arguments=given)


def new_training(arguments: Sequence[str] | None, name: str | None, results: Location) -> Request:
    """Raises SpecError with everything that is wrong with job and overrides."""
    file, overrides = one_job(arguments, "train")
    if file is None:
        raise UsageError("trainyard train takes a job, got none. Write: trainyard train JOB [path=value...]")
    job = load_job(file, overrides)
    return Request(
        job=job,
        space=None,
        name=name or default_name(job),
        results=results,
        named=name is not None,
        arguments=_arguments(arguments),
    )


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
    _require_code(job, None, name, shipped=file is not None)
    return Request(job=job, space=None, name=name, results=results, folder=folder, arguments=_arguments(arguments))


def default_name(job: Job) -> str:
    """`<job>-<YYYYmmdd-HHMMSS>`, within the 63 characters of a name."""
    return f"{job.name[:47]}-{time.strftime('%Y%m%d-%H%M%S')}"


def _arguments(given: Sequence[str] | None, trials: int | None = None) -> tuple[str, ...]:
    return (*(given or ()), *(() if trials is None else ("--trials", str(trials))))


def _require_code(job: Job, space: Space | None, name: str, *, shipped: bool) -> None:
    """UsageError where the user's own code is gone, as that of a submitted job is some time after it has ended.

    shipped: whether a submitted run has brought it. It may still lie where an earlier job had it, but that is only of
    that time, and only on the nodes that this job was on.
    """
    models = own_models(job, space)
    files = "JOB" if space is None else "JOB SPACE"
    if models and submitted() and not shipped:
        verb = "train" if space is None else "sweep"
        raise UsageError(
            f"{name}: {models[0]} is a model of your own, and its code is shipped with its files only. Name them: "
            f"trainyard submit {verb} {files} --resume {name}."
        )
    if models and not job.directory.is_dir():
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
