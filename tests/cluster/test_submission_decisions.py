"""What a cluster is asked for, and what its answers mean."""

import shlex
from typing import get_args

import pytest

from trainyard.cluster.submission import (
    RAYS_STOP_SECONDS,
    STOP_SECONDS,
    State,
    Submission,
    SubmittedJob,
    check_id,
    choose_id,
    stop_seconds,
    variables,
)
from trainyard.errors import UsageError

TAKEN: dict[str, State] = {"old": "failed", "busy": "running", "again": "succeeded", "again-2": "running"}


def submission(*arguments: str, **environment: str) -> Submission:
    return Submission(id="id-1", verb="sweep", name="lr", arguments=arguments, environment=environment)


def test_the_entry_point_is_read_by_a_shell_as_it_was_meant() -> None:
    hostile = "labels.note=it's $HOME; rm -rf /"

    line = submission("jobs/my job.yaml", hostile).entry_point

    assert shlex.split(line) == ["python", "-m", "trainyard", "sweep", "jobs/my job.yaml", hostile]


def test_a_driver_is_told_that_it_is_one_and_has_time_to_end() -> None:
    wanted = submission(NCCL_DEBUG="INFO").runtime_env()

    assert wanted == {
        "env_vars": {
            "TRAINYARD_SUBMISSION": "id-1",
            "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS),
            "NCCL_DEBUG": "INFO",
        }
    }


def test_nothing_hides_that_a_driver_was_submitted() -> None:
    assert submission(TRAINYARD_SUBMISSION="").runtime_env()["env_vars"]["TRAINYARD_SUBMISSION"] == "id-1"


def test_what_the_user_says_of_stopping_counts() -> None:
    assert submission(RAY_JOB_STOP_WAIT_TIME_S="5").runtime_env()["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"] == "5"


def test_files_and_packages_are_named_only_where_there_are_some() -> None:
    wanted = submission().runtime_env("/tmp/shipment.zip", ["/home/trainyard"])

    assert wanted["working_dir"] == "/tmp/shipment.zip"
    assert wanted["py_modules"] == ["/home/trainyard"]


def test_an_id_is_the_users_or_the_name() -> None:
    assert choose_id(None, "lr", TAKEN) == "lr"
    assert choose_id("Mine_1", "lr", TAKEN) == "Mine_1"


def test_a_resumed_run_gets_the_next_free_id_of_its_name() -> None:
    assert choose_id(None, "old", TAKEN, resumed=True) == "old-2"
    assert choose_id(None, "again", TAKEN, resumed=True) == "again-3"
    assert choose_id(None, "elsewhere", TAKEN, resumed=True) == "elsewhere"


@pytest.mark.parametrize(
    ("wanted", "name", "message"),
    [
        ("old", "lr", "the id old is taken: a job of that id has failed. Choose another --id."),
        (
            None,
            "old",
            "the id old is taken: a job of that id has failed. Choose another --name, or its own --id.",
        ),
        (
            "busy",
            "lr",
            "the id busy is taken: a job of that id is running. Choose another --id, or follow it: trainyard logs "
            "busy -f.",
        ),
    ],
)
def test_a_taken_id_is_refused_with_the_way_out(wanted: str | None, name: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        choose_id(wanted, name, TAKEN)

    assert str(refused.value) == message


@pytest.mark.parametrize("id", ["", "..", "../../etc/passwd", "a/b", "a b", "a?b", "-f", "a\n", "x" * 129, "ä"])
def test_an_id_cannot_leave_its_place(id: str) -> None:
    with pytest.raises(UsageError, match=r"^an id must be 1 to 128 of letters"):
        check_id(id)


@pytest.mark.parametrize("id", ["raysubmit_AbC123", "lr-20260131-120000", "a.b", "x" * 128])
def test_ids_of_other_means_are_known(id: str) -> None:
    assert check_id(id) == id


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "WANDB_API_KEY",
        "DB_PASSWORD",
        "MLFLOW_TRACKING_PASSWORD",
        "GITHUB_TOKENS",
        "credentials",
        "MYAPIKEY",
        "PRIVATE_KEY",
        "PGPASSWORD",
        "MYSQL_PWD",
        "SSHPASS",
        "DB_PASS",
        "GITHUB_PAT",
        "HFTOKEN",
        "AUTHORIZATION",
        "SMTP_AUTH",
        "db_passwords",
        "CLIENTSECRET",
    ],
)
def test_variables_that_look_like_secrets_are_refused_without_their_value(name: str) -> None:
    with pytest.raises(UsageError, match=rf"^--env {name}: looks like a secret, and Ray shows") as refused:
        variables([f"{name}=hunter2"])
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", ["DB_PASSWORD", "DB_PASS", "WANDB_API_KEY", "SMTP_AUTH"])
def test_a_password_may_be_a_number(name: str) -> None:
    with pytest.raises(UsageError, match="looks like a secret"):
        variables([f"{name}=123456"])


def test_other_variables_are_taken() -> None:
    given = ["TOKENIZERS_PARALLELISM=false", "NCCL_DEBUG=", "MLFLOW_TRACKING_URI=http://a?b=c", "KEYBOARD=de"]
    given += ["RAY_AUTH_MODE=token", "CUDA_PATH=/usr", "GIT_AUTHOR=me", "LD_BYPASS=1"]
    given += ["MAX_TOKENS=512", "KEY_DIM=6.4e1", "USE_CLS_TOKEN=True"]

    assert variables(given) == {
        "TOKENIZERS_PARALLELISM": "false",
        "NCCL_DEBUG": "",
        "MLFLOW_TRACKING_URI": "http://a?b=c",
        "KEYBOARD": "de",
        "RAY_AUTH_MODE": "token",
        "CUDA_PATH": "/usr",
        "GIT_AUTHOR": "me",
        "LD_BYPASS": "1",
        "MAX_TOKENS": "512",
        "KEY_DIM": "6.4e1",
        "USE_CLS_TOKEN": "True",
    }


@pytest.mark.parametrize("item", ["NAME", "=hunter2", "1A=hunter2", "A B=hunter2", "API-KEY=hunter2"])
def test_what_is_no_variable_is_refused_without_its_value(item: str) -> None:
    with pytest.raises(UsageError, match=r"^--env must be NAME=VALUE, got") as refused:
        variables([item])
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("value", ["", "-1", "five", "1.5"])
def test_the_time_to_end_must_be_one_that_ray_can_read(value: str) -> None:
    """It would fail when the job is stopped, and the job would go on."""
    with pytest.raises(UsageError, match=r"must be a whole number of seconds"):
        variables([f"RAY_JOB_STOP_WAIT_TIME_S={value}"])


def test_the_time_to_end_is_what_the_job_was_submitted_with() -> None:
    assert stop_seconds(submission().runtime_env()) == STOP_SECONDS
    assert stop_seconds(submission(RAY_JOB_STOP_WAIT_TIME_S="300").runtime_env()) == 300
    assert [stop_seconds(other) for other in (None, {}, {"env_vars": {"A": "1"}})] == [RAYS_STOP_SECONDS] * 3
    assert stop_seconds({"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "<redacted>"}}) == STOP_SECONDS


def test_rays_own_time_to_end_is_known() -> None:
    from ray.dashboard.modules.job.job_supervisor import JobSupervisor

    assert JobSupervisor.DEFAULT_RAY_JOB_STOP_WAIT_TIME_S == RAYS_STOP_SECONDS


@pytest.mark.parametrize(
    ("state", "exit_code", "expected"),
    [
        ("succeeded", 0, 0),
        ("failed", 2, 2),
        ("failed", 1, 1),
        ("failed", None, 1),
        ("failed", -9, 137),
        ("stopped", None, 130),
    ],
)
def test_a_follower_ends_as_the_job_did(state: State, exit_code: int | None, expected: int) -> None:
    assert SubmittedJob(id="a", state=state, exit_code=exit_code).follower_exit_code == expected


def test_a_job_is_over_when_nothing_more_can_come() -> None:
    assert [state for state in get_args(State) if SubmittedJob(id="a", state=state).over] == [
        "stopped",
        "succeeded",
        "failed",
    ]
