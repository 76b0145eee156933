"""What is shipped with a submitted job: the files that it names, and its code. Nothing else of the folder goes along.

The folder in which the command is given is the job's working directory on the cluster: a file has the same relative
path there. What is needed is picked, instead of leaving out what is not: data sets, environments, `.git`, results and
caches lie in the same folder, and an exception that nobody thought of would be gigabytes.
"""

import os
import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import all_suffixes
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

_KEPT_AT_HOME = ("pyvenv.cfg", "conda-meta", "site-packages", "CACHEDIR.TAG")
"""What one knows Python environments and caches by."""

_RESULTS = ("journal.jsonl", "mlflow.db")
"""What one knows results by. They hold no code: that beside them is somebody's."""

_ENVIRONMENT = frozenset({"pyvenv.cfg", "conda-meta", "bin", "include", "lib64", "share", "Include", "Scripts"})
_SWEEP = frozenset(
    {"job.yaml", "space.yaml", "origin.json", "journal.jsonl", "study.db", "driver.json", "driver.lock", "journal.lock"}
    | {"trials", "pictures", "tune", "crews", "ray.log"}
)
_RECORDS = frozenset({"mlflow.db", "mlflow.db-journal", "mlflow.db-shm", "mlflow.db-wal"})
_OWN_NAMES: tuple[tuple[frozenset[str], frozenset[str]], ...] = (
    (frozenset({"pyvenv.cfg"}), _ENVIRONMENT),
    (frozenset({"conda-meta"}), _ENVIRONMENT),
    (frozenset({"origin.json", "journal.jsonl"}), _SWEEP),
    (frozenset({"mlflow.db"}), _RECORDS | {"artifacts", "mlartifacts", "mlruns"}),
)
"""What one knows an environment, a sweep and MLflow's records by, and what these have in a folder.

Where that is the folder of a job, nothing else of it stays at home.
"""

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
        found = _included(root, root / path)
        if not found:
            there = "nothing to ship is there" if (root / path).exists() else "there is no such file or folder"
            raise UsageError(f"--include {path}: {there}. Data sets, environments, results and caches stay at home.")
        named.add(inside(root, root / path))
        paths |= found
    left_out = {path for path in paths - named if _is_secret(root / path)}
    paths -= left_out
    files = tuple(sorted(Shipped(path, (root / path).stat().st_size) for path in paths))
    return Shipment(root=root, files=files, expected=tuple(dict.fromkeys(expected)), left_out=tuple(sorted(left_out)))


def brings_files(job: Job, space: Space | None) -> bool:
    """Whether code or weights are shipped with a job and its space, which its results do not have."""
    weights = [*files_of(job, space), *_folders_of_weights(job.working_directory, job)]
    return bool(own_models(job, space)) or any(not file.startswith("/") for file in weights)


def readable(size: int) -> str:
    """`812 B`, `3.2 KiB`, `12.3 MiB`."""
    if size < 1024:
        return f"{size} B"
    return f"{size / 1024:.1f} KiB" if size < MIB else f"{size / MIB:.1f} MiB"


def _folders_of_weights(root: Path, job: Job) -> Iterator[str]:
    weights = getattr(job.model, "weights", None)
    if isinstance(weights, str) and (root / weights).is_dir():
        yield weights


def _included(root: Path, place: Path) -> set[str]:
    """What `--include` adds; a data set is none of it."""
    if not place.exists() or (place.is_dir() and _is_data({entry.name for entry in _entries(place)})):
        return set()
    return set(_below(root, place, everything=True))


def _code(root: Path, job: Job, space: Space | None, expected: list[str]) -> set[str]:
    """For models of the user's own: the Python files of the job's folder, and all files of the models' packages.

    UsageError where the file of a model would not be among them.
    """
    found: set[str] = set()
    for name in own_models(job, space):
        module = name.partition(":")[0]
        package = job.directory / module.partition(".")[0]
        file = _file_of(job.directory, module)
        if package.is_dir():
            found |= set(_below(root, package, everything=True))
        elif file is not None:
            found.add(inside(root, file))
        if file is not None:
            found |= set(_below(root, job.directory, everything=False))
            _require_shipped(root, name, file, found)
        elif _file_of(job.directory, package.name) is None:
            expected.append(f"the Python module {module}, which is not in {os.path.relpath(job.directory, root)}")
        else:
            raise UsageError(
                f"model {name}: there is no module {module} in {job.directory}, although {package} is there."
            )
    return found


def _file_of(directory: Path, module: str) -> Path | None:
    """The file that Python would import as `package.module`, where there is one in the folder."""
    place = directory.joinpath(*module.split("."))
    starts = (place / "__init__", place)
    files = (start.with_name(start.name + ending) for start in starts for ending in all_suffixes())
    return next((file for file in files if file.is_file()), None)


def _require_shipped(root: Path, model: str, file: Path, found: Collection[str]) -> None:
    if inside(root, file) not in found:
        raise UsageError(
            f"model {model}: {file} would not be shipped, as a folder with one of {', '.join(_KEPT_AT_HOME)} is "
            f"taken for an environment or a cache, one with one of {', '.join(_RESULTS)} and no code beside it for "
            "results, and one with a manifest.json and Parquet files for a data set. Put the code into a folder "
            "without them."
        )


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
    """The files at or below a place, or the Python files only, without environments, caches, results and data sets.

    The place itself is none of these, whatever it is that lies in it: it was named, or is the job's.
    """
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
    """Links are followed, but not back into a folder that is being walked. above: the folders that it lies in."""
    entries = _entries(folder)
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    names = {entry.name for entry in entries}
    if here in above or (above and _stays_at_home(names)):
        return
    at_home = {name for marks, own in _OWN_NAMES if marks <= names for name in own}
    for entry in entries:
        hidden = entry.name.startswith(".") or entry.name == "__pycache__"
        if entry.name in at_home:
            continue
        if entry.is_dir() and not hidden:
            yield from _walk(entry, above | {here})
        # A `.env` is yielded so that it can be told: whoever reads it in his code would miss it.
        elif entry.is_file() and (not hidden or is_secret_file(entry)):
            yield entry


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, by name. UsageError where it can't be read."""
    try:
        entries = sorted(folder.iterdir())
        for entry in entries:
            entry.is_dir()  # needs another right than to list them
    except OSError as error:
        raise UsageError(
            f"{error.filename}: can't be read ({error.strerror}). Put the job into a folder with nothing but its code."
        ) from error
    return entries


def _is_secret(file: Path) -> bool:
    """By its own name, or by that of the file that it is a link to."""
    return is_secret_file(file) or is_secret_file(file.resolve())


def _stays_at_home(names: Collection[str]) -> bool:
    """Whether a folder with these files is an environment, a cache, results without code, or a data set."""
    code = any(name.endswith(tuple(all_suffixes())) for name in names)
    marks = _KEPT_AT_HOME if code else (*_KEPT_AT_HOME, *_RESULTS)
    return _is_data(names) or any(mark in names for mark in marks)


def _is_data(names: Collection[str]) -> bool:
    return "manifest.json" in names and any(name.endswith(".parquet") for name in names)
