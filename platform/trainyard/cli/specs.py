"""`check` and `schema`: what can be said of specs without starting anything."""

import json
from typing import Annotated, Literal

import typer

from trainyard.cli.options import add, split
from trainyard.errors import UsageError


def add_to(app: typer.Typer) -> None:
    add(app, check, schema)


def check(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="JOB [SPACE] [PATH=VALUE]...",
            help="A job, a space to check against it, and settings to replace, such as training.epochs=5.",
        ),
    ],
) -> None:
    """Check a job, and a space against it.

    Prints every problem with its file and line, and how to mend it. Starts nothing.

    \b
    Example:
      trainyard check jobs/digits_cnn.yaml search_spaces/digits.yaml
    """
    from trainyard.spec.load import load
    from trainyard.sweep.search.points import trial_count

    paths, overrides = split(files)
    if not 1 <= len(paths) <= 2:
        raise UsageError(
            f"trainyard check takes a job and perhaps a space, got {', '.join(map(str, paths)) or 'neither'}. "
            "Write: trainyard check JOB [SPACE] [path=value...]"
        )
    job, space = load(paths[0], paths[1] if len(paths) > 1 else None, overrides)
    print(f"{paths[0]}: job {job.name} is valid.")
    if space is not None:
        count, trials = len(space.parameters), trial_count(space, job)
        print(f"{paths[1]}: fits the job: {count} parameter{'s' if count > 1 else ''}, {trials} trials.")


def schema(
    kind: Annotated[Literal["job", "space"], typer.Argument(metavar="job|space", help="Of which file.")],
) -> None:
    """Print the JSON Schema of job or space files.

    With it an editor completes and checks them.

    \b
    Example:
      trainyard schema job > job.schema.json
    Then, as the first line of a job file:
      # yaml-language-server: $schema=job.schema.json
    """
    from trainyard.spec.schema import json_schema

    print(json.dumps(json_schema(kind), indent=2))
