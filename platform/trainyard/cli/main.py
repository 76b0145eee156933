"""The `trainyard` command: its verbs, its version, its exit codes.

Exit code 0: done. 1: something that had started failed. 2: a bad spec or request, nothing was started. 130: Ctrl-C.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from trainyard import __version__
from trainyard.cli import data, models, records, specs, submissions, submit, sweeps
from trainyard.errors import TrainyardError

# Plain help and plain errors: rich would take 0.1 s to import for them, and frames every usage error.
app = typer.Typer(name="trainyard", add_completion=False, rich_markup_mode=None, no_args_is_help=True)
specs.add_to(app)
sweeps.add_to(app)
submit.add_to(app)
submissions.add_to(app)
records.add_to(app)
models.add_to(app)
data.add_to(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"trainyard {__version__}")
        raise typer.Exit()


@app.callback(epilog="Every command explains itself: trainyard sweep --help")
def trainyard(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Train computer-vision models on a Ray cluster, search their hyper-parameters, record every trial in MLflow.

    \b
    Example:
      trainyard data import digits data/digits
      trainyard sweep jobs/digits_cnn.yaml search_spaces/digits.yaml
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command, and exit with its code. arguments: those of the process, if not given."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. What nobody foresaw is raised, with its traceback."""
    command = typer.main.get_command(app)
    try:
        # Not the standalone mode, which would print errors in its own way.
        code = command.main(args=arguments, prog_name="trainyard", standalone_mode=False)
    except TrainyardError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except typer.TyperException as error:
        print(_usage_problem(error), file=sys.stderr)
        return error.exit_code
    except typer.Abort:
        return 130
    return code if isinstance(code, int) else 0


def _usage_problem(error: typer.TyperException) -> str:
    """`trainyard sweep: no such option: --trails (...)`, and where to read on."""
    message = error.format_message().replace("Value error, ", "")
    context = getattr(error, "ctx", None)
    # No command at all: the message is the whole help.
    if context is None or message.startswith("Usage:"):
        return message
    end = "" if message.endswith((".", "?", ")")) else "."
    return f"{context.command_path}: {message}{end}\nHelp: {context.command_path} --help"
