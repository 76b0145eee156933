"""What a sweep ran with: versions, machine, git. Environment variables only from a list, and never a credential."""

import importlib.metadata
import json
import os
import platform
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from trainyard.tracking.uri import masked

PACKAGES = (
    "trainyard",
    "torch",
    "torchvision",
    "torchmetrics",
    "ray",
    "optuna",
    "mlflow",
    "numpy",
    "pyarrow",
    "pydantic",
)
VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "CUBLAS_WORKSPACE_CONFIG",
    "MKL_NUM_THREADS",
    "MLFLOW_TRACKING_URI",
    "NCCL_DEBUG",
    "NCCL_SOCKET_IFNAME",
    "OMP_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTORCH_CUDA_ALLOC_CONF",
    "RAY_ADDRESS",
    "SLURM_JOB_ID",
    "TORCH_CUDA_ARCH_LIST",
)
"""Those that change results or say where something ran. All others may hold secrets, and are never looked at."""
GIT_SETTING = "TRAINYARD_GIT"
"""The commit as JSON, for a process in a copy of files that has no repository, as that of a submitted job."""

_GIT_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Git:
    """A commit, whether tracked files differ from it, and where it came from (without credentials)."""

    commit: str
    dirty: bool
    remote: str = ""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What a sweep ran with."""

    python: str
    platform: str
    cpus: int
    versions: dict[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    git: Git | None = None

    def tags(self) -> dict[str, str]:
        """For the run in MLflow, where `mlflow.source.git.commit` has a column of its own."""
        tags = {f"trainyard.version.{name}": version for name, version in self.versions.items()}
        tags["trainyard.version.python"] = self.python
        if self.git:
            tags["mlflow.source.git.commit"] = self.git.commit
            tags["trainyard.git.dirty"] = str(self.git.dirty).lower()
        return tags

    def text(self) -> str:
        """For `environment.txt`: one thing a line."""
        lines = [f"python {self.python}", f"platform {self.platform}", f"cpus {self.cpus}"]
        if self.git:
            lines += [f"git commit {self.git.commit}{' with changes' if self.git.dirty else ''}"]
            lines += [f"git remote {self.git.remote}"] if self.git.remote else []
        lines += [f"{name}=={version}" for name, version in self.versions.items()]
        lines += [f"{name}={value}" for name, value in self.variables.items()]
        return "\n".join(lines) + "\n"


def describe_environment(directory: Path) -> Environment:
    """This process, and the git repository that the directory is in, if it is in one. Takes some 30 ms."""
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        versions={name: version for name in PACKAGES if (version := _version(name))},
        variables={name: masked(os.environ[name]) for name in VARIABLES if name in os.environ},
        git=git_of(directory) or _told_git(),
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_of(directory: Path) -> Git | None:
    """The state of the repository that a folder is in, None if it is in none."""
    commit = _ask_git(directory, "rev-parse", "HEAD")
    if not commit:
        return None
    changes = _ask_git(directory, "status", "--porcelain", "--untracked-files=no")
    remote = _ask_git(directory, "config", "--get", "remote.origin.url")
    return Git(commit=commit, dirty=bool(changes), remote=masked(remote or ""))


def _told_git() -> Git | None:
    try:
        return Git(**json.loads(os.environ[GIT_SETTING]))
    except (KeyError, ValueError, TypeError):
        return None


def _ask_git(directory: Path, *question: str) -> str | None:
    # No optional locks: a sweep must not get in the way of a commit that is being made in the same folder.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        answer = subprocess.run(
            ["git", "-C", str(directory), *question],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
