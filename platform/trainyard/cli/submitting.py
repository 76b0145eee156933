"""From a command line to what is asked of a cluster: all that can be wrong is said before anything is sent."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any, Literal

from trainyard.cli.options import file_argument, job_and_space, one_job, results_at, split, trials_override
from trainyard.cluster.confidential import is_secret, without_tokens
from trainyard.cluster.shipment import Shipment, inside, readable, shipment_of
from trainyard.cluster.submission import SUBMITTED_AS, SUBMITTED_WITH, Submission, variables
from trainyard.errors import SpecError, UsageError
from trainyard.spec.files import require_files
from trainyard.spec.job import Job
from trainyard.spec.load import load, load_job
from trainyard.spec.overrides import read_overrides
from trainyard.spec.section import Flaw, flatten
from trainyard.spec.space import Space
from trainyard.tracking.environment import GIT_SETTING, git_of
from trainyard.tracking.uri import masked

Verb = Literal["train", "sweep"]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was typed after `trainyard submit`. results: as the nodes see them; None: TRAINYARD_RESULTS there."""

    verb: Verb
    arguments: Sequence[str]
    name: str | None = None
    trials: int | None = None
    resume: str | None = None
    results: str | None = None
    environment: Sequence[str] = ()
    include: Sequence[Path] = ()
    ship_package: bool = False


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """All of it checked. The submission's id is the name of the run until the cluster has been asked for its ids."""

    submission: Submission
    shipment: Shipment

    def not_shipped(self) -> list[str]:
        """A line for each thing that the job needs or that one might miss, and that stays here."""
        files = "JOB" if self.submission.verb == "train" else "JOB SPACE"
        of_saved = (
            "Not shipped: code and weights. If the job has its own, name its files, too: "
            f"{files} --resume {self.submission.name}"
        )
        return [
            *([] if self.shipment.files else [of_saved]),
            *(f"Not shipped, the nodes must have it: {what}" for what in self.shipment.expected),
            *(
                f"Not shipped, it looks like a key or a password: {path}. If it is none, add --include {quote(path)}"
                for path in self.shipment.left_out
            ),
        ]

    def lines(self) -> list[str]:
        """What would be sent, for people: the files, what the nodes must have, the entry point and its variables."""
        shipment, submission = self.shipment, self.submission
        files = [f"  {readable(file.size):>10}  {file.path}" for file in shipment.files]
        count = f"{len(files)} file{'' if len(files) == 1 else 's'}"
        shown = [f"  {name}={value}" for name, value in sorted(submission.environment.items())]
        return [
            f"{count} of {shipment.root}, {readable(shipment.size)}:" if files else "No files.",
            *files,
            *self.not_shipped(),
            "Entry point:",
            f"  {submission.entry_point}",
            *(["Its environment:", *shown] if shown else []),
        ]


def prepare(wanted: Wanted, root: Path) -> Prepared:
    """Check everything that needs no cluster. root: the folder that becomes the working directory there.

    SpecError and UsageError with what is wrong; nothing is written or sent.
    """
    from trainyard.cli.request import default_name
    from trainyard.sweep.results.folder import check_name

    environment = variables(wanted.environment)
    if own := {SUBMITTED_AS, SUBMITTED_WITH, GIT_SETTING} & environment.keys():
        raise UsageError(f"--env {min(own)}: is set by trainyard submit itself. Leave it out.")
    _check_results(wanted.results)
    specs, overrides, job, space = _specs(wanted)
    if job is not None:
        require_files(job, space, elsewhere=True)
        _check_data(job)
    name = wanted.resume or wanted.name or (default_name(job) if job is not None else "")
    check_name(name, "--resume" if wanted.resume else "--name")
    shipment = shipment_of(root, specs, job, space, wanted.include)
    shipment.check()
    options = {
        "--resume": wanted.resume,
        "--name": None if wanted.resume else name,
        "--trials": None if wanted.trials is None else str(wanted.trials),
        "--results": wanted.results,
    }
    files = [file_argument(inside(root, spec)) for spec in specs]
    given = [part for option, value in options.items() if value is not None for part in (option, value)]
    arguments = (*files, *overrides, *given)
    _check_names(overrides)
    _check_secrets([*arguments, *(f"--env {name}={value}" for name, value in environment.items())])
    submission = Submission(
        id=name,
        verb=wanted.verb,
        name=name,
        arguments=arguments,
        environment={**_origin(job), **environment},
        options=_options(wanted, root),
    )
    return Prepared(submission=submission, shipment=shipment)


def _options(wanted: Wanted, root: Path) -> tuple[str, ...]:
    """What a run that is resumed needs again, beside what its entry point is told."""
    pairs = [
        *(("--env", given) for given in wanted.environment),
        *(("--include", file_argument(inside(root, path))) for path in wanted.include),
    ]
    return (*(word for pair in pairs for word in pair), *(["--ship-package"] if wanted.ship_package else []))


def _specs(wanted: Wanted) -> tuple[list[Path], list[str], Job | None, Space | None]:
    """The files, the overrides, and what they say. Files may be left out where an earlier run goes on."""
    files, overrides = split(wanted.arguments)
    if wanted.verb == "train" and wanted.trials is not None:
        raise UsageError("--trials is for a sweep, and this is a training. Leave it out.")
    if wanted.resume and not files:
        if wanted.include:
            raise UsageError("--include goes with a job, whose code it belongs to. Name the job's file as well.")
        return [], overrides, None, None
    if wanted.verb == "train":
        file, overrides = one_job(wanted.arguments, "submit train")
        if file is None:
            raise UsageError("trainyard submit train takes a job, got none. Write: trainyard submit train JOB")
        return [file], overrides, load_job(file, overrides), None
    job_file, space_file, overrides = job_and_space(wanted.arguments, "submit sweep")
    job, space = load(job_file, space_file, [*overrides, *trials_override(wanted.trials)])
    return [job_file, space_file], overrides, job, space


def _check_results(results: str | None) -> None:
    if results is not None:
        results_at(results)  # refuses a secret in it, which the dashboard would show
    if results is not None and "://" not in results and not results.startswith("/"):
        raise UsageError(
            f"--results must be a place that all nodes see and that outlives the job, such as /shared/results or "
            f"s3://bucket/results, got {results}: the folder in which a submitted job runs is deleted after it."
        )


def _check_data(job: Job) -> None:
    path = job.data.path
    if "://" not in path and not path.startswith("/"):
        message = (
            f"data.path must be where the nodes see it, got {path}: data sets are not shipped. Put it on shared "
            "storage, and write data.path=/shared/data/NAME or s3://BUCKET/NAME."
        )
        raise SpecError(job.source.locate([Flaw(("data", "path"), message)]))


def _check_names(overrides: Sequence[str]) -> None:
    """UsageError for a setting that looks like a secret by its name, without its value."""
    values, problems = read_overrides(overrides)
    if problems:
        raise SpecError(problems)
    for path, value in _settings(values):
        if value is not None and any(is_secret(name, value) for name in path.split(".")):
            raise UsageError(
                f"{without_tokens(path)}: looks like a secret, and Ray shows the command of a job to whoever sees its "
                "dashboard. Leave it out, and have the job's code read it from the environment of the nodes."
            )


def _settings(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What is set, by path, each item of a list by that of the list."""
    for path, value in flatten(dict(values)).items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict | list):
                yield from _settings({path: item})
            else:
                yield path, item


def _check_secrets(shown: Sequence[str]) -> None:
    for item in shown:
        if (safe := without_tokens(masked(item))) != item:
            raise UsageError(
                f"{safe}: has a password or a token, and Ray shows the command and the environment of a job to "
                "whoever sees its dashboard. Leave it out, and set it on the nodes."
            )


def _origin(job: Job | None) -> dict[str, str]:
    """The commit that the job's code is of, for MLflow: there is no repository on the cluster."""
    git = git_of(job.directory) if job is not None else None
    return {GIT_SETTING: json.dumps(asdict(git))} if git is not None else {}
