"""A sweep's folder: `<results>/<name>/` with all that the sweep needs to go on after its driver was killed.

::

    job.yaml  space.yaml  origin.json    what was asked for, as it was resolved
    journal.jsonl                        every event (the truth)
    study.db                             Optuna's study
    trials/00007/last.pt, best.pt        states of trials
    trials/00007/bests.json              which of its epochs were better than all before, while it goes on
    trials/00007/ancestor                from which state of the driver's (a pause, an exchange) last.pt descends
    trials/00007/pictures/00012.png      what its best epoch answers; drawn.json says which that is
    pictures/00012.png                   the same of the best trials together
    tune/  crews/  ray.log               scratch space and messages of Ray

On a disk all of it is in one place. Of a sweep in a bucket the driver keeps the specs, the journal, the study and Ray's
messages on its own disk as well, and brings them to the bucket while they grow (`results.mirror`): neither a journal
nor a database can be appended to there. Everything else is in the bucket only.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from trainyard.data.location import Location
from trainyard.errors import DataError, UsageError
from trainyard.spec.job import Job
from trainyard.spec.load import load_space
from trainyard.spec.space import Space

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")

LOCK = "driver.lock"
"""What the driver's process locks, on its own disk."""

SPECS = ("space.yaml", "origin.json", "job.yaml")
"""What is written once. The job comes last: a folder with one is a sweep's, with all that belongs to it."""


@dataclass(frozen=True, kw_only=True)
class SweepFolder:
    """Paths of one sweep. Whoever writes holds the journal's lock.

    path: on the driver's disk. bucket: where the sweep is, if not there.
    """

    path: Path
    bucket: Location | None = None

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def place(self) -> Location:
        """Where the states and pictures are: on storage that all nodes see."""
        return self.bucket or Location.of(self.path)

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def study(self) -> Path:
        return self.path / "study.db"

    @property
    def ray_log(self) -> Path:
        return self.path / "ray.log"

    def storage(self, kind: str) -> dict[str, Any]:
        """The settings `storage_path` and `storage_filesystem` for a run of Ray Tune ("tune") or Train ("crews").

        A folder that is not there yet: Ray takes up what it finds under a name (ray-project/ray#51083).
        """
        folder = self.place / kind / secrets.token_hex(4)
        return {"storage_path": folder.path, "storage_filesystem": folder.filesystem()}

    @classmethod
    def create(cls, results: Path | Location, name: str, job: Job, space: Space | None) -> Self:
        """A new sweep's folder, of which nobody else knows; UsageError as `reserve` and `fill`."""
        folder = cls.reserve(results, name)
        folder.fill(job, space)
        return folder

    @classmethod
    def reserve(cls, results: Path | Location, name: str) -> Self:
        """A folder to claim and then to `fill`, of which there is nothing yet, on a disk an empty folder.

        UsageError if the name is taken or unfit, or the place can't be written.
        """
        check_name(name)
        folder = cls._of(results, name)
        try:
            if folder.place.exists():
                raise folder._taken()
            if folder.bucket is None:
                folder.path.mkdir(parents=True)
        except FileExistsError:
            raise folder._taken() from None
        except (OSError, DataError) as error:
            raise folder._unwritable(error) from error
        return folder

    def fill(self, job: Job, space: Space | None) -> None:
        """Write the specs. UsageError where another driver has done so since `reserve`, or the place can't be written.

        What was begun and not ended is removed.
        """
        # What was stated, beside the whole job: a default nobody stated changes with the optimizer's name.
        origin = {"job_directory": str(job.directory.resolve()), "job": job.stated()}
        texts = {
            **({"space.yaml": space.to_yaml()} if space is not None else {}),
            "origin.json": json.dumps(origin),
            "job.yaml": job.to_yaml(),
        }
        if (self.place / "job.yaml").exists():
            raise self._taken()
        try:
            if self.bucket is not None:  # of a sweep of this name that was removed there
                self.path.mkdir(parents=True, exist_ok=True)
                for stale in self.path.iterdir():
                    if stale.name != LOCK:
                        Location.of(stale).delete()
            for file, text in texts.items():
                self._write(file, text)
        except BaseException as error:
            self.remove()
            if isinstance(error, OSError | DataError):
                raise self._unwritable(error) from error
            raise

    def _taken(self) -> UsageError:
        return UsageError(
            f"{_shown(self)}: the name {self.name} is taken. Go on with what is there by --resume {self.name}, or give "
            "this one another --name."
        )

    def _unwritable(self, error: OSError | DataError) -> UsageError:
        reason = f"can't be written ({error.strerror})" if isinstance(error, OSError) else str(error).rstrip(".")
        return UsageError(f"{_shown(self)}: {reason}. Choose another folder with --results.")

    @classmethod
    def resume(cls, results: Path | Location, name: str) -> Self:
        """The folder of an earlier sweep, with its specs; UsageError naming the sweeps that there are."""
        check_name(name, "--resume")
        folder = cls._existing(results, name, f"no sweep {name} to resume", others="space.yaml")
        folder._fetch(*SPECS)
        return folder

    @classmethod
    @contextlib.contextmanager
    def to_read(cls, results: Path | Location, name: str) -> Iterator[Self]:
        """The folder of an earlier sweep or training, whoever writes there; UsageError naming those that there are.

        Of one in a bucket the specs and the journal are copied aside for as long as they are read.
        """
        check_name(name, "NAME")
        folder = cls._existing(results, name, f"no sweep or training {name}", others="job.yaml")
        if folder.bucket is None:
            yield folder
            return
        with tempfile.TemporaryDirectory(prefix="trainyard-") as aside:
            copy = cls(path=Path(aside) / name, bucket=folder.bucket)
            copy._fetch(*SPECS, folder.journal.name)
            yield copy

    @classmethod
    def _existing(cls, results: Path | Location, name: str, missing: str, *, others: str) -> Self:
        """UsageError that says what is missing, and which folders there are: those that have the file `others`."""
        folder = cls._of(results, name)
        if not (folder.place / "job.yaml").exists():
            known = _with(others, Location.of(results))
            there = f"There are: {', '.join(known)}." if known else "There is none yet."
            raise UsageError(f"{Location.of(results)}: {missing}. {there}")
        return folder

    @classmethod
    def _of(cls, results: Path | Location, name: str) -> Self:
        results = Location.of(results)
        if results.local:
            return cls(path=results.local.resolve() / name)
        return cls(path=_own_disk(results) / name, bucket=results / name)

    def job(self, directory: Path | None = None) -> Job:
        """The job that was started, with the directory that it came from, or where its code is now."""
        origin = json.loads((self.path / "origin.json").read_text())
        return Job.from_dict(
            origin["job"], where=str(self.path / "origin.json"), directory=directory or Path(origin["job_directory"])
        )

    def space(self) -> Space | None:
        """The space that was searched; None for a single training."""
        path = self.path / "space.yaml"
        return load_space(path) if path.is_file() else None

    def grow(self, space: Space) -> None:
        """Keep a space that differs from the saved one by more trials."""
        self._write("space.yaml", space.to_yaml())

    def remove(self) -> None:
        """Delete the sweep, as far as the disk and the bucket let."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self.bucket is not None:
            try:
                self.bucket.delete()
            except (OSError, DataError):
                return

    def _write(self, file: str, text: str) -> None:
        """On the disk, and then in the bucket."""
        (Location.of(self.path) / file).write_bytes(text.encode())
        if self.bucket is not None:
            (self.bucket / file).write_bytes(text.encode())

    def _fetch(self, *files: str) -> None:
        """From the bucket, those that are there."""
        if self.bucket is None:
            return
        for file in files:
            try:
                content = (self.bucket / file).read_bytes()
            except FileNotFoundError:  # a single training has no space
                continue
            try:
                (Location.of(self.path) / file).write_bytes(content)
            except OSError as error:
                raise UsageError(f"{self.path}: can't be written ({error.strerror}). {ELSEWHERE}") from error


ELSEWHERE = "A sweep in a bucket keeps its journal there while it runs: name another folder with XDG_STATE_HOME."


def _own_disk(results: Location) -> Path:
    """Where this machine keeps what its sweeps in a bucket append to: $XDG_STATE_HOME/trainyard/<digest of results>."""
    base = os.environ.get("XDG_STATE_HOME")
    try:
        state = Path(base) if base else Path.home() / ".local" / "state"
    except RuntimeError as error:
        raise UsageError(f"there is no home folder. {ELSEWHERE}") from error
    digest = hashlib.sha256(f"{results.scheme}://{results.path}?{results.settings}".encode()).hexdigest()
    return state / "trainyard" / digest[:12]


def _shown(folder: SweepFolder) -> str:
    return str(folder.path if folder.bucket is None else folder.bucket)


def _with(file: str, results: Location) -> list[str]:
    """The folders that have a file: a space is a sweep's, a job a training's, too."""
    try:
        return [name for name in results.folders() if (results / name / file).exists()]
    except OSError:  # no folder
        return []


def check_name(name: str, option: str = "--name") -> None:
    """UsageError where it is none for a sweep or a training. option: of the command line, which gave it."""
    if not NAME.fullmatch(name):
        rule = "must be 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit"
        raise UsageError(f"{option} {rule}, got {name!r}.")
