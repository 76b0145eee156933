"""What several commands take: files and `path=value` among their arguments, the results folder, a format, a cluster."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from trainyard.data.location import Location
from trainyard.errors import UsageError

RESULTS_SETTING = "TRAINYARD_RESULTS"
DEFAULT_RESULTS: Any = "results"
"""As text: it is a place only once a command runs, in the folder where it does."""


def results_at(text: str) -> Location:
    """Where `--results` says. UsageError for what is no place, and for a URI with a secret in it."""
    place = Location.of(text)
    if place.credentials:
        raise UsageError(
            f"--results {place}: leave the secret out, as everybody who lists processes or jobs sees it. Machines have "
            "theirs in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), in a file, or by their role."
        )
    return place


Results = Annotated[
    Location,
    typer.Option(
        "--results",
        parser=results_at,
        envvar=RESULTS_SETTING,
        show_envvar=True,
        metavar="DIR",
        help="Where sweeps are kept: a folder, or s3://BUCKET/PATH, gs://BUCKET/PATH.",
    ),
]
Format = Annotated[Literal["text", "json"], typer.Option("--format", help="For people, or for programs.")]
Address = Annotated[
    str | None,
    typer.Option(
        "--address", metavar="URL", help="A running Ray cluster: auto, host:6379, ray://host:10001. Else this machine."
    ),
]
Cpus = Annotated[int | None, typer.Option("--cpus", min=1, metavar="N", help="CPUs to use of this machine. Else all.")]
Trials = Annotated[
    int | None, typer.Option("--trials", min=1, metavar="N", help="How many trials, short for search.trials=N.")
]
_OVERRIDE = re.compile(r"[^/\\]*=")


class Verb(TyperCommand):
    """A command whose usage line shows its arguments as their `metavar` says, which is the way people type them."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments = [item for item in self.get_params(ctx) if item.param_type_name == "argument"]
        return [*(str(item.metavar) for item in arguments), "[OPTIONS]"]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        params = self.get_params(ctx)
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            records = [_record(item, ctx) for item in params if item.param_type_name == kind]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _record(item: Any, ctx: Any) -> tuple[str, str]:
    name, text = item.get_help_record(ctx)
    # Types of arguments and "required" say nothing that the usage line does not.
    return (item.metavar, item.help or "") if item.param_type_name == "argument" else (name, text)


def add(app: typer.Typer, *functions: Callable[..., None]) -> None:
    """Make verbs of functions: their name is the verb, their docstring its help."""
    for function in functions:
        app.command(function.__name__.rstrip("_"), cls=Verb)(function)


def split(arguments: Sequence[str] | None) -> tuple[list[Path], list[str]]:
    """Files and overrides: an override has an equals sign before any slash."""
    given = list(arguments or ())
    overrides = [item for item in given if _OVERRIDE.match(item)]
    return [Path(item) for item in given if not _OVERRIDE.match(item)], overrides


def file_argument(path: str) -> str:
    """A path as a command takes it: `./` keeps it from being read as an option or an override."""
    return f"./{path}" if path.startswith("-") or _OVERRIDE.match(path) else path


def job_and_space(arguments: Sequence[str] | None, verb: str) -> tuple[Path, Path, list[str]]:
    """The two files that a verb needs, and the overrides; UsageError where there are more or fewer files."""
    files, overrides = split(arguments)
    if len(files) != 2:
        raise UsageError(
            f"trainyard {verb} takes a job and a space, got {_listed(files)}. "
            f"Write: trainyard {verb} JOB SPACE [path=value...]"
        )
    return files[0], files[1], overrides


def one_job(arguments: Sequence[str] | None, verb: str) -> tuple[Path | None, list[str]]:
    """The file of a job, if there is one, and the overrides; UsageError where there are more files."""
    files, overrides = split(arguments)
    if len(files) > 1:
        raise UsageError(
            f"trainyard {verb} takes one job, got {_listed(files)}. Write: trainyard {verb} JOB [path=value...]"
        )
    return (files[0] if files else None), overrides


def trials_override(trials: int | None) -> list[str]:
    """`--trials N` as an override."""
    return [] if trials is None else [f"search.trials={trials}"]


def _listed(files: Sequence[Path]) -> str:
    if not files:
        return "neither"
    return f"only {files[0]}" if len(files) == 1 else ", ".join(map(str, files))


def results_option(results: Location) -> str:
    """` --results DIR` for a command to be copied, or nothing where it would be the default."""
    import shlex

    usual = Location.of(os.environ.get(RESULTS_SETTING) or DEFAULT_RESULTS)
    return "" if results == usual else f" --results {shlex.quote(str(results))}"
