"""What is refused before anything is sent, and what a dry run tells."""

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from trainyard.cli.request import new_sweep, new_training, resumed_sweep, resumed_training
from trainyard.cli.submitting import Wanted, prepare
from trainyard.data.location import Location
from trainyard.spec.load import load, load_job
from trainyard.sweep.results.folder import SweepFolder

from .conftest import Answer

FILES = ["jobs/digits_cnn.yaml", "search_spaces/digits.yaml"]
DATA = "data.path=/shared/digits"
Cli = Callable[..., Answer]


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)


def test_a_dry_run_lists_what_would_be_shipped_and_run(cli: Cli, place: Path) -> None:
    options = ["--name", "try", "--trials", "5", "--results", "s3://bucket/results", "--env", "NCCL_DEBUG=INFO"]

    answer = cli("submit", "sweep", *FILES, DATA, *options, "--dry-run")

    job, space = (Path(file).stat().st_size for file in FILES)
    assert answer.out.splitlines() == [
        f"2 files of {place}, {(job + space) / 1024:.1f} KiB:",
        f"  {_size(job):>10}  jobs/digits_cnn.yaml",
        f"  {_size(space):>10}  search_spaces/digits.yaml",
        "Entry point:",
        "  python -m trainyard sweep jobs/digits_cnn.yaml search_spaces/digits.yaml data.path=/shared/digits --name try"
        " --trials 5 --results s3://bucket/results",
        "Its environment:",
        "  NCCL_DEBUG=INFO",
    ]
    assert answer.code == 0


def _size(size: int) -> str:
    return f"{size} B" if size < 1024 else f"{size / 1024:.1f} KiB"


def test_the_commit_of_the_job_travels_along(cli: Cli, place: Path) -> None:
    for command in (["init"], ["add", "jobs"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-m", "jobs"]):
        subprocess.run(["git", "-C", str(place), *command], check=True, capture_output=True)

    answer = cli("submit", "train", FILES[0], DATA, "--dry-run")

    commit = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert f'  TRAINYARD_GIT={{"commit": "{commit}", "dirty": false, "remote": ""}}' in answer.out.splitlines()


def test_a_resumed_run_needs_no_files(cli: Cli, place: Path) -> None:
    answer = cli("submit", "sweep", "--resume", "old", "--results", "/shared/results", "--dry-run")

    assert answer.out.splitlines() == [
        "No files.",
        "Not shipped: code and weights. If the job has its own, name its files, too: JOB SPACE --resume old",
        "Entry point:",
        "  python -m trainyard sweep --resume old --results /shared/results",
    ]


def test_tokens_and_keys_of_a_model_are_no_secrets(cli: Cli, place: Path) -> None:
    given = ["model.max_tokens=512", "model.key_dims=[64, 32]", "model.cls_token=true", "model.mask_token=null"]
    answer = cli("submit", "sweep", "--resume", "old", *given, "--dry-run")

    assert answer.code == 0, answer.err
    assert "model.max_tokens=512" in answer.out


def test_a_resumed_run_ships_the_code_of_the_job_that_is_named(cli: Cli, place: Path) -> None:
    answer = cli("submit", "sweep", *FILES, DATA, "--resume", "old", "--dry-run")

    assert "jobs/digits_cnn.yaml" in answer.out.splitlines()[1]
    assert answer.out.splitlines()[4].endswith("search_spaces/digits.yaml data.path=/shared/digits --resume old")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", FILES[0]],
            "jobs/digits_cnn.yaml:4: data.path must be where the nodes see it, got data/digits: data sets are not "
            "shipped. Put it on shared storage, and write data.path=/shared/data/NAME or s3://BUCKET/NAME.\n"
            "1 problem. Nothing was started.",
        ),
        (
            ["train", FILES[0], "data.path=digits"],
            "command line: data.path must be where the nodes see it, got digits: data sets are not shipped. Put it on "
            "shared storage, and write data.path=/shared/data/NAME or s3://BUCKET/NAME.\n"
            "1 problem. Nothing was started.",
        ),
        (
            ["train", FILES[0], DATA, "--results", "results"],
            "--results must be a place that all nodes see and that outlives the job, such as /shared/results or "
            "s3://bucket/results, got results: the folder in which a submitted job runs is deleted after it.",
        ),
        (
            ["sweep", *FILES, DATA, "--results", "s3://key:hunter2@bucket/results"],
            "--results s3://***@bucket/results: leave the secret out, as everybody who lists processes or jobs sees "
            "it. Machines have theirs in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), in a file, or by "
            "their role.",
        ),
        (
            ["sweep", *FILES, DATA, "--env", "MLFLOW_TRACKING_URI=postgresql://me:hunter2@db/mlflow"],
            "--env MLFLOW_TRACKING_URI=postgresql://***@db/mlflow: has a password or a token, and Ray shows the "
            "command and the environment of a job to whoever sees its dashboard. Leave it out, and set it on the "
            "nodes.",
        ),
        (
            ["sweep", *FILES, DATA, "--env", "WHO=ghp_hunter2hunter2hunter2"],
            "--env WHO=***: has a password or a token, and Ray shows the command and the environment of a job to "
            "whoever sees its dashboard. Leave it out, and set it on the nodes.",
        ),
        (
            ["train", "--resume", "old", "labels.who=hf_hunter2hunter2hunter2"],
            "labels.who=***: has a password or a token, and Ray shows the command and the environment of a job to "
            "whoever sees its dashboard. Leave it out, and set it on the nodes.",
        ),
        (
            ["train", "--resume", "old", "model.hf_token=hunter2"],
            "model.hf_token: looks like a secret, and Ray shows the command of a job to whoever sees its dashboard. "
            "Leave it out, and have the job's code read it from the environment of the nodes.",
        ),
        (
            ["train", "--resume", "old", "model.options=[1, {auth: {user: hunter2}}]"],
            "model.options.auth.user: looks like a secret, and Ray shows the command of a job to whoever sees its "
            "dashboard. Leave it out, and have the job's code read it from the environment of the nodes.",
        ),
        (
            ["train", "--resume", "old", "model.password=[12345"],
            "command line: the value of model.password isn't YAML: the [ opened on line 1 isn't closed, or a comma is "
            "missing before this.\n1 problem. Nothing was started.",
        ),
        (
            ["train", FILES[0], DATA, "--env", "TRAINYARD_SUBMISSION="],
            "--env TRAINYARD_SUBMISSION: is set by trainyard submit itself. Leave it out.",
        ),
        (
            ["train", FILES[0], DATA, "--env", "TRAINYARD_GIT={}"],
            "--env TRAINYARD_GIT: is set by trainyard submit itself. Leave it out.",
        ),
        (
            ["train", FILES[0], DATA, "--env", "TRAINYARD_SUBMITTED_WITH=--include ."],
            "--env TRAINYARD_SUBMITTED_WITH: is set by trainyard submit itself. Leave it out.",
        ),
        (
            ["train", *FILES, DATA],
            "trainyard submit train takes one job, got jobs/digits_cnn.yaml, search_spaces/digits.yaml. Write: "
            "trainyard submit train JOB [path=value...]",
        ),
        (
            ["train", FILES[0], DATA, "--name", "../up"],
            "--name must be 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit, got '../up'.",
        ),
        (
            ["train", "--resume", "../up"],
            "--resume must be 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit, got '../up'.",
        ),
        (["train", FILES[0], DATA, "--trials", "3"], "--trials is for a sweep, and this is a training. Leave it out."),
        (
            ["train", FILES[0], DATA, "--name", "a", "--resume", "b"],
            "--resume b goes on under its own name. Leave --name out.",
        ),
        (["train"], "trainyard submit train takes a job, got none. Write: trainyard submit train JOB"),
        (
            ["sweep", FILES[0]],
            "trainyard submit sweep takes a job and a space, got only jobs/digits_cnn.yaml. Write: trainyard submit "
            "sweep JOB SPACE [path=value...]",
        ),
        (
            ["train", "--resume", "old", "--include", "words"],
            "--include goes with a job, whose code it belongs to. Name the job's file as well.",
        ),
        (
            ["train", FILES[0], DATA],
            "--address is missing: the dashboard of a cluster, such as http://head:8265. Or set "
            "RAY_API_SERVER_ADDRESS.",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(
    cli: Cli, place: Path, arguments: list[str], message: str
) -> None:
    answer = cli("submit", *arguments)

    assert (answer.code, answer.err.strip()) == (2, message)
    assert "hunter2" not in answer.out + answer.err


@pytest.mark.parametrize("name", ["a=b.yaml", "-x.yaml"])
def test_a_file_stays_one_in_the_entry_point(cli: Cli, place: Path, name: str) -> None:
    Path(FILES[0]).rename(name)

    answer = cli("submit", "train", f"./{name}", DATA, "--name", "try", "--dry-run")

    assert f"  python -m trainyard train ./{name} data.path=/shared/digits --name try" in answer.out.splitlines()
    assert f"{name}" in answer.out.splitlines()[1].split()


def test_a_key_in_the_code_stays_here_and_is_told(cli: Cli, place: Path) -> None:
    for name in ("__init__.py", "server.pem"):
        Path("jobs/nets").mkdir(exist_ok=True)
        Path("jobs/nets", name).write_text("x")
    command = ("submit", "train", FILES[0], DATA, "model={name: nets:build}", "--dry-run")
    told = (
        "Not shipped, it looks like a key or a password: jobs/nets/server.pem. If it is none, add --include "
        "jobs/nets/server.pem"
    )

    without, included = cli(*command).out.splitlines(), cli(*command, "--include", "jobs/nets/server.pem").out

    assert told in without
    assert without[0].startswith("2 files of ")
    assert told not in included
    assert "1 B  jobs/nets/server.pem" in included


def test_a_wrong_job_is_refused_here(cli: Cli, place: Path) -> None:
    answer = cli("submit", "train", FILES[0], DATA, "training.epochs=0")

    assert answer.code == 2
    assert answer.err.startswith("command line: training.epochs must be >= 1, got 0.")


def test_weights_that_the_nodes_have_need_not_be_here(cli: Cli, place: Path) -> None:
    job = Path("jobs/weights.yaml")
    model = "{name: torchvision, architecture: resnet18, weights: /shared/w.pth}"
    lines = Path(FILES[0]).read_text().splitlines()
    job.write_text("\n".join(f"model: {model}" if line.startswith("model:") else line for line in lines))

    there = cli("submit", "train", str(job), DATA, "--dry-run")
    lost = cli("submit", "train", str(job), DATA, "model.weights=lost.pth", "--dry-run")

    assert "Not shipped, the nodes must have it: /shared/w.pth" in there.out.splitlines()
    assert lost.err.startswith("command line: model.weights: there is no file lost.pth in ")


@pytest.mark.parametrize("verb", [["train", FILES[0]], ["sweep", *FILES]], ids=["train", "sweep"])
def test_a_submitted_run_without_lasting_results_is_refused_where_it_runs(
    cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch, verb: list[str]
) -> None:
    monkeypatch.setenv("TRAINYARD_SUBMISSION", "id-1")

    answer = cli(*verb)

    assert answer.code == 2
    assert answer.err.startswith("--results is missing: results would be in the folder that Ray deletes after a ")
    assert not Path("results").exists()


def test_code_that_is_gone_is_asked_for_before_a_run_goes_on(cli: Cli, place: Path) -> None:
    """What was shipped is deleted some time after a job."""
    model = ["model={name: nets:build}", "training.epochs=1"]
    before = load_job(place / FILES[0], model)
    SweepFolder.create(Location.of("results"), "once", before, None)
    elsewhere = place / "now"
    (place / "jobs").rename(elsewhere)

    gone = cli("train", "--resume", "once")
    named = resumed_training(["now/digits_cnn.yaml", *model], "once", Location.of("results"))

    assert gone.code == 2
    assert gone.err == (
        f"once: the code of nets:build was in {place}/jobs, which is gone. Name the files beside which it is now: JOB "
        "--resume once.\n"
    )
    assert named.job.directory == elsewhere


def test_a_submitted_run_is_resumed_by_submitting_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = new_sweep(FILES, None, "lr", Location.of("/shared/results"))
    assert request.resume_command == "trainyard sweep --resume lr --results /shared/results"

    monkeypatch.setenv("TRAINYARD_SUBMISSION", "id-1")
    assert request.resume_command == "trainyard submit sweep --resume lr --results /shared/results"


OWN = ["model={name: nets:build}", "training.epochs=1"]
WEIGHTS = ["model={name: torchvision, architecture: resnet18, weights: w.pth}"]


@pytest.fixture
def rates(place: Path) -> str:
    """A space for any model."""
    Path("rates.yaml").write_text("parameters: {optimizer.lr: {type: float, low: 1e-4, high: 1e-2}}")
    return "rates.yaml"


@pytest.mark.parametrize("changes", [OWN, WEIGHTS], ids=["code", "weights"])
def test_the_resume_command_of_a_submitted_run_names_the_files_that_bring_what_it_needs(
    rates: str, monkeypatch: pytest.MonkeyPatch, changes: list[str]
) -> None:
    monkeypatch.setenv("TRAINYARD_SUBMISSION", "id-1")
    monkeypatch.setenv("TRAINYARD_RESULTS", "/shared/results")
    results = Location.of("/shared/results")

    sweep = new_sweep([FILES[0], rates, *changes], 4, "lr", results)
    training = new_training([FILES[0], *changes], "once", results)

    said = shlex.join(changes)
    assert sweep.resume_command == f"trainyard submit sweep {FILES[0]} {rates} {said} --trials 4 --resume lr"
    assert training.resume_command == f"trainyard submit train {FILES[0]} {said} --resume once"


def test_what_a_run_was_submitted_with_is_in_its_resume_command(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("words and more.txt").write_text("x")
    options = ("--env", "NCCL_DEBUG=INFO", "--include", "words and more.txt", "--ship-package")
    wanted = Wanted(
        verb="train",
        arguments=[FILES[0], DATA],
        environment=[options[1]],
        include=[Path(options[3])],
        ship_package=True,
    )
    for name, value in prepare(wanted, place).submission.runtime_env()["env_vars"].items():
        monkeypatch.setenv(name, value)

    request = new_training([FILES[0], DATA], "once", Location.of("/shared/results"))

    files = f"{FILES[0]} {DATA}"
    assert request.resume_command == (
        f"trainyard submit train {files} --resume once {shlex.join(options)} --results /shared/results"
    )


@pytest.mark.parametrize("verb", ["train", "sweep"])
def test_a_submitted_run_takes_no_code_from_an_earlier_job(
    cli: Cli, place: Path, rates: str, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """The folder of that one may still be there on the head, and on no other node."""
    files, named = ([FILES[0]], "JOB") if verb == "train" else ([FILES[0], rates], "JOB SPACE")
    SweepFolder.create(Location.of("results"), "old", *load(*map(Path, files), overrides=OWN))
    results = Location.of(place / "results")
    monkeypatch.setenv("TRAINYARD_SUBMISSION", "old-2")

    answer = cli(verb, "--resume", "old", "--results", str(results))
    given = [*files, *OWN]
    shipped = resumed_training(given, "old", results) if verb == "train" else resumed_sweep(given, None, "old", results)

    assert answer.code == 2
    assert answer.err == (
        "old: nets:build is a model of your own, and its code is shipped with its files only. Name them: "
        f"trainyard submit {verb} {named} --resume old.\n"
    )
    assert shipped.job.directory == place / "jobs"
