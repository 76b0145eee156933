"""The command as a whole: help, version, exit codes, errors on stderr."""

import re
from collections.abc import Callable
from importlib import import_module

import pytest

from trainyard import __version__
from trainyard.cli.main import main, run

from .conftest import Answer

VERBS = [
    "check",
    "schema",
    "plan",
    "sweep",
    "train",
    "evaluate",
    "submit",
    "jobs",
    "status",
    "logs",
    "stop",
    "compare",
    "ui",
    "models",
    "data import",
]


def test_version(cli: Callable[..., Answer]) -> None:
    assert cli("--version") == Answer(0, f"trainyard {__version__}\n", "")


def test_help_names_every_verb_in_one_whole_line(cli: Callable[..., Answer]) -> None:
    answer = cli("--help")

    assert answer.code == 0
    verbs = [verb.split()[0] for verb in VERBS]
    assert re.findall(r"^  (\w+)  +\S.*[^.]\.$", answer.out, re.MULTILINE) == verbs


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_shows_an_example_that_names_it(verb: str, cli: Callable[..., Answer]) -> None:
    answer = cli(*verb.split(), "--help")

    assert answer.code == 0
    assert f"\n  Example:\n    trainyard {verb}" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


def test_usage_is_shown_as_people_type_it(cli: Callable[..., Answer]) -> None:
    assert cli("check", "--help").out.startswith("Usage: trainyard check JOB [SPACE] [PATH=VALUE]... [OPTIONS]\n")


def test_no_command_prints_the_help(cli: Callable[..., Answer]) -> None:
    answer = cli()

    assert answer.code == 2
    assert answer.err.startswith("Usage: trainyard [OPTIONS] COMMAND [ARGS]...\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("sweeep", "trainyard: No such command 'sweeep'. Did you mean 'sweep'?\nHelp: trainyard --help"),
        (
            "sweep --trails 3",
            "trainyard sweep: No such option: --trails (Possible options: --trials)\nHelp: trainyard sweep --help",
        ),
        ("compare", "trainyard compare: Missing argument 'SWEEP'.\nHelp: trainyard compare --help"),
        (
            "schema jobs",
            "trainyard schema: Invalid value for 'job|space': 'jobs' is not one of 'job', 'space'.\n"
            "Help: trainyard schema --help",
        ),
        ("data", None),
        ("data import", "trainyard data import: Missing argument 'FORMAT'.\nHelp: trainyard data import --help"),
        (
            "data import digits a b c",
            "trainyard data import takes a source and a destination, got a, b, c. "
            "Write: trainyard data import FORMAT [SRC] DST",
        ),
        ("check", "trainyard check: Missing argument 'JOB [SPACE] [PATH=VALUE]...'.\nHelp: trainyard check --help"),
        (
            "check x=1",
            "trainyard check takes a job and perhaps a space, got neither. "
            "Write: trainyard check JOB [SPACE] [path=value...]",
        ),
        (
            "plan job.yaml x=1",
            "trainyard plan takes a job and a space, got only job.yaml. "
            "Write: trainyard plan JOB SPACE [path=value...]",
        ),
        (
            "sweep",
            "trainyard sweep takes a job and a space, got neither. Write: trainyard sweep JOB SPACE [path=value...]",
        ),
        (
            "sweep a b c",
            "trainyard sweep takes a job and a space, got a, b, c. Write: trainyard sweep JOB SPACE [path=value...]",
        ),
        ("train", "trainyard train takes a job, got none. Write: trainyard train JOB [path=value...]"),
        ("train a b", "trainyard train takes one job, got a, b. Write: trainyard train JOB [path=value...]"),
        ("sweep --resume a --name b", "--resume a goes on under its own name. Leave --name out."),
    ],
)
def test_wrong_usage_exits_2_with_a_short_message(
    arguments: str, message: str | None, cli: Callable[..., Answer]
) -> None:
    answer = cli(*arguments.split())

    assert answer.code == 2
    assert answer.out == ""
    if message is not None:
        assert answer.err == f"{message}\n"


def test_an_unforeseen_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("trainyard.spec.load"), "load", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        run(["check", "job.yaml"])


def test_main_exits_with_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sweep"])

    assert ended.value.code == 2
