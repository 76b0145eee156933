"""A sweep's folder: `<results>/<name>/` with all that the sweep needs to go on after its driver was killed.

::

    job.yaml  space.yaml  origin.json    what was asked for, as it was resolved
    journal.jsonl                        every event (the truth)
    study.db                             Optuna's study
    trials/00007/last.pt, best.pt        states of trials
    trials/00007/bests.json              which of its epochs were better than all before, while it goes on
    trials/00007/pictures/00012.png      what its best epoch answers; drawn.json says which that is
    pictures/00012.png                   the same of the best trials together
    tune/  crews/  ray.log               scratch space and messages of Ray
"""

import itertools
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from trainyard.errors import Problem, SpecError, UsageError
from trainyard.spec.job import Job
from trainyard.spec.load import load_space
from trainyard.spec.space import Space

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, kw_only=True)
class SweepFolder:
    """Paths of one sweep. Whoever writes holds the journal's lock."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def study(self) -> Path:
        return self.path / "study.db"

    def fresh(self, kind: str) -> Path:
        """A folder under `tune/` or `crews/` that is not there yet: Ray takes up what it finds under a name
        (ray-project/ray#51083)."""
        return next(path for number in itertools.count(1) if not (path := self.path / kind / str(number)).exists())

    @classmethod
    def create(cls, results: Path, name: str, job: Job, space: Space | None) -> Self:
        """A new sweep's folder; UsageError if the name is taken or unfit, or the place can't be written."""
        folder = cls(path=_place(results, name))
        if folder.path.exists():
            raise UsageError(
                f"{folder.path}: the name {name} is taken. Go on with what is there by --resume {name}, or give this "
                "one another --name."
            )
        # What was stated, beside the whole job: a default nobody stated changes with the optimizer's name.
        origin = {"job_directory": str(job.directory.resolve()), "job": job.stated()}
        made = False
        try:
            folder.path.mkdir(parents=True)
            made = True
            (folder.path / "job.yaml").write_text(job.to_yaml())
            if space is not None:
                (folder.path / "space.yaml").write_text(space.to_yaml())
            (folder.path / "origin.json").write_text(json.dumps(origin))
        except OSError as error:
            if made:
                shutil.rmtree(folder.path, ignore_errors=True)
            raise UsageError(
                f"{folder.path}: can't be written ({error.strerror}). Choose another folder with --results."
            ) from error
        return folder

    @classmethod
    def resume(cls, results: Path, name: str) -> Self:
        """The folder of an earlier sweep; UsageError naming the sweeps that there are."""
        folder = cls(path=_place(results, name))
        if not (folder.path / "job.yaml").is_file():
            known = sorted(path.parent.name for path in results.glob("*/space.yaml"))
            there = f"There are: {', '.join(known)}." if known else "There are no sweeps yet."
            raise UsageError(f"{results}: no sweep {name} to resume. {there}")
        return folder

    def job(self) -> Job:
        """The job that was started, with the directory that it came from."""
        origin = json.loads((self.path / "origin.json").read_text())
        return Job.from_dict(
            origin["job"], where=str(self.path / "origin.json"), directory=Path(origin["job_directory"])
        )

    def space(self) -> Space | None:
        """The space that was searched; None for a single training."""
        path = self.path / "space.yaml"
        return load_space(path) if path.is_file() else None

    def grow(self, space: Space) -> None:
        """Keep a space that differs from the saved one by more trials."""
        aside = self.path / ".space.yaml"
        aside.write_text(space.to_yaml())
        aside.replace(self.path / "space.yaml")


def _place(results: Path, name: str) -> Path:
    if not NAME.fullmatch(name):
        raise SpecError(
            [
                Problem(
                    "command line",
                    "--name must be 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit, "
                    f"got {name!r}.",
                )
            ]
        )
    return results.resolve() / name
