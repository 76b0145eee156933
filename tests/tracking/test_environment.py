import os
import subprocess
from pathlib import Path

import pytest

from trainyard.tracking.environment import describe_environment


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init")
    (tmp_path / "job.yaml").write_text("name: a\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    git(tmp_path, "remote", "add", "origin", "https://anna:ghp_s3cret@github.com/a/b.git")
    return tmp_path


def test_versions_and_platform_are_told(tmp_path: Path) -> None:
    environment = describe_environment(tmp_path)
    assert environment.tags()["trainyard.version.optuna"] == environment.versions["optuna"]
    assert f"mlflow=={environment.versions['mlflow']}\n" in environment.text()
    assert environment.text().startswith("python 3.")


def test_no_variable_but_the_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://anna:s3cret@host")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    environment = describe_environment(tmp_path)
    told = environment.text() + str(environment.tags())
    assert "s3cret" not in told
    assert "SECRET" not in told
    assert "OMP_NUM_THREADS=2" in told
    assert "MLFLOW_TRACKING_URI=https://***@host" in told


def test_the_commit_is_told_without_credentials(repository: Path) -> None:
    environment = describe_environment(repository)
    assert environment.git is not None
    assert len(environment.git.commit) == 40
    assert not environment.git.dirty
    assert environment.tags()["mlflow.source.git.commit"] == environment.git.commit
    assert "git remote https://***@github.com/a/b.git\n" in environment.text()
    assert "s3cret" not in environment.text()


def test_uncommitted_changes_are_told(repository: Path) -> None:
    (repository / "job.yaml").write_text("name: b\n")
    environment = describe_environment(repository)
    assert environment.tags()["trainyard.git.dirty"] == "true"
    assert " with changes\n" in environment.text()


def test_a_folder_outside_of_git_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", os.fspath(tmp_path.parent))
    assert describe_environment(tmp_path).git is None


def test_a_machine_without_git_is_fine(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert describe_environment(repository).git is None


def test_a_copy_without_a_repository_is_told_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINYARD_GIT", '{"commit": "abc", "dirty": true, "remote": "git@example.com:a.git"}')

    assert describe_environment(tmp_path).tags()["mlflow.source.git.commit"] == "abc"


def test_a_repository_of_its_own_counts_more(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINYARD_GIT", '{"commit": "abc", "dirty": true, "remote": ""}')

    assert describe_environment(repository).tags()["mlflow.source.git.commit"] != "abc"


@pytest.mark.parametrize("told", ["", "abc", "{}", "[]", '{"commit": "abc", "more": 1}'])
def test_what_is_no_commit_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("TRAINYARD_GIT", told)

    assert describe_environment(tmp_path).git is None
