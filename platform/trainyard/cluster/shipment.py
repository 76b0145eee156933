"""What is shipped with a submitted job: the files that it names, and its code. Nothing else of the folder goes along.

The folder in which the command is given is the job's working directory on the cluster: a file has the same relative
path there. What is needed is picked, instead of leaving out what is not: data sets, environments, `.git`, results and
caches lie in the same folder, and an exception that nobody thought of would be gigabytes.
"""

import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trainyard.cluster.confidential import is_secret_file
from trainyard.errors import UsageError
from trainyard.spec.distributions import Categorical
from trainyard.spec.files import files_of
from trainyard.spec.job import Job
from trainyard.spec.space import Space

MIB = 2**20

LIMIT = 100 * MIB
"""Bytes that may be shipped. They pass through the memory of the cluster's head, and stay there while the job runs."""

MOST_FILES = 10_000
"""Nobody's code has more; a folder that has is not one of code."""

LARGEST_SHOWN = 5

_KEPT_AT_HOME = ("pyvenv.cfg", "conda-meta", "CACHEDIR.TAG", "journal.jsonl", "mlflow.db")
"""Files by which one knows Python environments, caches and results."""

_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every file in an archive: the same files make the same bytes, which Ray then knows and does not take again."""


@dataclass(frozen=True, order=True)
class Shipped:
    """One file. path: relative, with `/`, here and there. size: in bytes."""

    path: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Shipment:
    """Files below `root`, sorted by path.

    expected: what is not shipped because the nodes are to have it, as it is named in the job. left_out: files that were
    found in a folder and look like keys or passwords; one that is itself named is shipped.
    """

    root: Path
    files: tuple[Shipped, ...] = ()
    expected: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def check(self) -> None:
        """UsageError if it is too large, with the files that make it so."""
        if self.size <= LIMIT:
            return
        largest = sorted(self.files, key=lambda file: -file.size)[:LARGEST_SHOWN]
        told = "\n".join(f"  {readable(file.size):>9}  {file.path}" for file in largest)
        raise UsageError(
            f"{self.root}: {readable(self.size)} would be shipped, more than {readable(LIMIT)}. The largest files:\n"
            f"{told}\nPut them where the nodes see them, and name them by an absolute path there."
        )

    def pack(self, archive: Path) -> None:
        """Write a zip file with them; the same files always make the same bytes. UsageError for one that is gone."""
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in self.files:
                entry = zipfile.ZipInfo(file.path, date_time=_TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                try:
                    packed.writestr(entry, (self.root / file.path).read_bytes())
                except OSError as error:
                    raise UsageError(f"{self.root / file.path}: can't be shipped ({error.strerror}).") from error


def shipment_of(
    root: Path, specs: Sequence[Path], job: Job | None, space: Space | None = None, include: Sequence[Path] = ()
) -> Shipment:
    """The specs' files, the weights that they name, the code of the user's own models, and what is to be included.

    job: None where an earlier run goes on and everything is there. UsageError for a path that is not below `root`.
    """
    named = {inside(root, spec) for spec in specs}
    paths = set(named)
    expected: list[str] = []
    if job is not None:
        for file in [*files_of(job, space), *_folders_of_weights(root, job)]:
            if file.startswith("/"):
                expected.append(file)
            else:
                named.add(inside(root, root / file))
                paths |= set(_below(root, root / file, everything=True))
        paths |= _code(root, job, space, expected)
    for path in include:
        found = set(_below(root, root / path, everything=True)) if (root / path).exists() else set()
        if not found:
            there = "nothing to ship is there" if (root / path).exists() else "there is no such file or folder"
            raise UsageError(f"--include {path}: {there}. Data sets, environments, results and caches stay at home.")
        named.add(inside(root, root / path))
        paths |= found
    left_out = {path for path in paths - named if _is_secret(root / path)}
    paths -= left_out
    files = tuple(sorted(Shipped(path, (root / path).stat().st_size) for path in paths))
    return Shipment(root=root, files=files, expected=tuple(dict.fromkeys(expected)), left_out=tuple(sorted(left_out)))


def readable(size: int) -> str:
    """`812 B`, `3.2 KiB`, `12.3 MiB`."""
    if size < 1024:
        return f"{size} B"
    return f"{size / 1024:.1f} KiB" if size < MIB else f"{size / MIB:.1f} MiB"


def _folders_of_weights(root: Path, job: Job) -> Iterator[str]:
    weights = getattr(job.model, "weights", None)
    if isinstance(weights, str) and (root / weights).is_dir():
        yield weights


def _code(root: Path, job: Job, space: Space | None, expected: list[str]) -> set[str]:
    """For models of the user's own: the Python files of the job's folder, and all files of the models' packages."""
    found: set[str] = set()
    for name in own_models(job, space):
        package = job.directory / name.partition(":")[0].partition(".")[0]
        if package.is_dir():
            found |= set(_below(root, package, everything=True))
        elif not package.with_suffix(".py").is_file():
            expected.append(f"the Python module {package.name}, which is not in {os.path.relpath(job.directory, root)}")
            continue
        found |= set(_below(root, job.directory, everything=False))
    return found


def own_models(job: Job, space: Space | None) -> list[str]:
    """The models of the user's own that a job, or a choice of a space, names: `module:function`."""
    names = [job.model.name]
    if space is not None and isinstance(parameter := space.parameters.get("model.name"), Categorical):
        names += map(str, parameter.choices)
    return [name for name in dict.fromkeys(names) if ":" in name]


def inside(root: Path, path: Path) -> str:
    """A path relative to root, with `/`; UsageError if it leads elsewhere."""
    for base, full in ((root, os.path.abspath(root / path)), (root.resolve(), (root / path).resolve())):
        relative = os.path.relpath(full, base)
        if relative != ".." and not relative.startswith(f"..{os.sep}"):
            return PurePosixPath(*Path(relative).parts).as_posix()
    raise UsageError(f"{path}: can't be shipped, as it is not below {root}. Go to a folder that holds all of it.")


def _below(root: Path, place: Path, *, everything: bool) -> Iterator[str]:
    """The files at or below a place, or the Python files only, without environments, caches, results and data sets."""
    if place.is_file():
        yield inside(root, place)
        return
    wanted = (file for file in _walk(place, frozenset()) if everything or file.suffix == ".py")
    for number, file in enumerate(wanted):
        if number >= MOST_FILES:
            raise UsageError(
                f"{place}: has more than {MOST_FILES} files to be shipped. Put the job into a folder with nothing but "
                "its code."
            )
        yield inside(root, file)


def _walk(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    """Links are followed, but not back into a folder that is being walked."""
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    entries = sorted(folder.iterdir())
    if here in above or _stays_at_home(entry.name for entry in entries):
        return
    for entry in entries:
        hidden = entry.name.startswith(".") or entry.name == "__pycache__"
        if entry.is_dir() and not hidden:
            yield from _walk(entry, above | {here})
        # A `.env` is yielded so that it can be told: whoever reads it in his code would miss it.
        elif entry.is_file() and (not hidden or is_secret_file(entry)):
            yield entry


def _is_secret(file: Path) -> bool:
    """By its own name, or by that of the file that it is a link to."""
    return is_secret_file(file) or is_secret_file(file.resolve())


def _stays_at_home(names: Iterable[str]) -> bool:
    """Whether a folder with these files is an environment, a cache, results or a data set."""
    known = set(names)
    is_data = "manifest.json" in known and any(name.endswith(".parquet") for name in known)
    return is_data or any(mark in known for mark in _KEPT_AT_HOME)
