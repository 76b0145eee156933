"""The place that an import writes to: whose it is, and what is finished there."""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from pydantic import ValidationError

from trainyard.data.dataset import IMPORT_FOLDER, MANIFEST_FILE, REPORT_FILE
from trainyard.data.importing.facts import ShardFacts
from trainyard.data.importing.planning import Plan
from trainyard.data.importing.shard import Shard, facts_file, writing_to
from trainyard.data.location import PARTIAL, Location
from trainyard.data.manifest import Manifest
from trainyard.errors import DataError

PLAN_FILE = "plan.json"

READERS = 16
"""Files of facts that are read at a time: in a bucket each takes some 50 ms."""


def check_free(destination: Location) -> None:
    """DataError if there is a data set, or something that no import left there."""
    with writing_to(destination):
        if not destination.exists():
            return
        if not destination.is_directory():
            raise DataError(f"{destination} is a file. Choose a folder that does not exist yet.")
        if (destination / MANIFEST_FILE).exists():
            raise DataError(f"{destination} exists already. Delete it, or choose another folder.")
        if (destination / IMPORT_FOLDER).exists():
            return
        others = [file.path for file in destination.walk() if file.path != REPORT_FILE]
        if others:
            raise DataError(
                f"{destination} is not empty: it holds {others[0]}. Choose a folder that does not exist yet."
            )


@contextmanager
def held(destination: Location) -> Iterator[None]:
    """One import at a time into a local folder: the lock goes with its process, however that ends.

    In a bucket nothing is locked. Two imports of the same plan write the same bytes there; of two plans the one that
    comes later, or that was overwritten, stops with a DataError (`claim`, `check_claim`).
    """
    if destination.local is None:
        yield
        return
    with writing_to(destination):
        destination.local.mkdir(parents=True, exist_ok=True)
        folder = os.open(destination.local, os.O_RDONLY)
    try:
        _lock(folder, destination)
        yield
    finally:
        os.close(folder)


def _lock(folder: int, destination: Location) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DataError(f"another import is writing to {destination}. Wait for it, or stop it.") from error
    except OSError:
        pass  # A network file system that locks no folders is as a bucket.


def claim(destination: Location, plan: Plan) -> None:
    """Begin an import, or go on with one of the same plan. DataError for another one's."""
    with writing_to(destination):
        file = destination / IMPORT_FOLDER / PLAN_FILE
        if file.exists():
            check_claim(destination, plan)
        else:
            file.write_bytes(json.dumps({"hash": plan.hash}).encode())


def check_claim(destination: Location, plan: Plan) -> None:
    try:
        found = json.loads((destination / IMPORT_FOLDER / PLAN_FILE).read_bytes())["hash"]
    except FileNotFoundError:
        return  # Another import of the same plan was faster.
    except (ValueError, KeyError, TypeError):
        found = None
    if found != plan.hash:
        raise DataError(
            f"{destination} holds an import, unfinished or at work, of another source or with other options, or the "
            f"source has changed since. Repeat that one to finish it, delete {destination}, or choose another folder."
        )


def finished(destination: Location, shards: Sequence[Shard]) -> dict[str, ShardFacts]:
    """The facts of the files that an earlier, interrupted import finished."""
    with writing_to(destination):
        sizes = {file.path: file.size for file in destination.walk()}
        names = [
            shard.file for shard in shards if f"{IMPORT_FOLDER}/{facts_file(destination, shard.file).name}" in sizes
        ]
        with ThreadPoolExecutor(READERS) as pool:
            found = pool.map(lambda name: _facts(facts_file(destination, name)), names)
            return {facts.file: facts for facts in found if facts and sizes.get(facts.file, 0) == facts.size}


def _facts(file: Location) -> ShardFacts | None:
    try:
        return ShardFacts.model_validate_json(file.read_bytes())
    except (ValidationError, FileNotFoundError):
        return None


def check_complete(destination: Location, shards: Sequence[ShardFacts]) -> None:
    """DataError unless all files are there: the nodes of a cluster may each have written to a disk of their own."""
    sizes = {file.path: file.size for file in destination.walk()}
    written = [shard for shard in shards if shard.size]
    lacking = [shard.file for shard in written if sizes.get(shard.file) != shard.size]
    if lacking:
        raise DataError(
            f"the nodes of the cluster write elsewhere: of {len(written):,} files {len(lacking):,} are not in "
            f"{destination}, such as {lacking[0]}. Choose a destination on shared storage, or a bucket."
        )


def publish(destination: Location, manifest: Manifest) -> None:
    """From here on it is a data set. OSError if the disk refuses."""
    _sweep(destination)
    (destination / MANIFEST_FILE).write_bytes(manifest.model_dump_json(indent=2).encode() + b"\n")
    (destination / IMPORT_FOLDER).delete()


def clear(destination: Location, files: Sequence[str]) -> None:
    """Delete what an import wrote, and the folder if nothing else is in it."""
    with writing_to(destination):
        for file in files:
            (destination / file).delete()
        (destination / IMPORT_FOLDER).delete()
        _sweep(destination)
        if destination.local and not any(destination.local.iterdir()):
            destination.delete()


def _sweep(destination: Location) -> None:
    """Delete what processes that were killed left half-written."""
    if destination.local:
        for file in destination.local.glob(f".*{PARTIAL}*"):
            file.unlink(missing_ok=True)
