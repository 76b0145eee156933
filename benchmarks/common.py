"""What the benchmarks share: options, data, running a side by itself, the machine in one line, tables and JSON."""

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainyard.cli.machine import cpus_here
from trainyard.data.dataset import Dataset
from trainyard.data.decode import decode_split
from trainyard.data.formats import import_dataset
from trainyard.data.source import Example
from trainyard.data.writer import write_dataset

HERE = Path(__file__).resolve().parent
SIDES = HERE / "sides"
PACKAGES = ("torch", "ray", "optuna", "mlflow")
NOT_INHERITED = ("MLFLOW_TRACKING_URI", "RAY_ADDRESS", "TRAINYARD_RESULTS")
"""Settings of the user's that would send a side to somebody's server or cluster."""

JOB: dict[str, Any] = {
    "name": "digits-benchmark",
    "task": "classification",
    "model": {"name": "cnn", "channels": [32, 64], "padding": "same", "dropout": 0.5},
    "loss": {"cross_entropy": {"weight": 1.0}},
    "optimizer": {"name": "adamw", "lr": 1e-3, "weight_decay": 1e-2},
    "training": {"epochs": 3, "batch_size": 64, "seed": 0},
    "objective": {"metric": "val/accuracy", "mode": "max"},
}
"""The CNN of jobs/digits_cnn.yaml without augmentation and schedule: what every side can do in the same way."""

SPACE: dict[str, Any] = {"parameters": {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}}}


class SideFailed(Exception):
    """A side ended with an error or took too long; the message ends with the last lines that it printed."""


def names(known: Sequence[str]) -> Any:
    """An argument type: some of the known names, with commas between them."""

    def chosen(text: str) -> list[str]:
        wanted = [name.strip() for name in text.split(",")]
        if unknown := [name for name in wanted if name not in known]:
            raise argparse.ArgumentTypeError(f"there is no {unknown[0]}; there are {', '.join(known)}")
        return wanted

    return chosen


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """A parser for the options of a benchmark, with --json. description: the docstring of its file."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured here, too")
    return parser


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for as long as it is needed, with the disk cache of decoded data in it: it is empty at first.

    Meanwhile SIGTERM ends a benchmark as Ctrl-C does: its sides end, and the folder goes.
    """
    with _sigterm_raises(), tempfile.TemporaryDirectory(prefix="trainyard-benchmark-") as name:
        os.environ["TRAINYARD_CACHE"] = str(Path(name) / "cache")
        yield Path(name)


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """By itself it ends the process at once, and what that has started goes on."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def import_photographs(data: Path, images: int, *, height: int = 360, width: int = 480) -> Path:
    """So many photographs (JPEG) as a data set."""
    from sides.pictures import image_files  # and scikit-learn, which the other benchmarks need not wait for

    files = data.with_name(f"{data.name}-files")
    image_files(files, images, height, width)
    import_dataset("image_folder", data, files)
    shutil.rmtree(files)
    return data


BLOB_SIDE = 256


def import_blobs(data: Path, images: int) -> Path:
    """Bright discs before noise with their masks, BLOB_SIDE pixels square; half as many to evaluate on."""
    random = np.random.default_rng(0)
    examples = []
    for row in range(images + max(2, images // 2)):
        image = random.integers(0, 120, (BLOB_SIDE, BLOB_SIDE, 3), dtype=np.uint8)
        mask = np.zeros((BLOB_SIDE, BLOB_SIDE), np.uint8)
        y, x = random.integers(50, BLOB_SIDE - 50, 2)
        inside = np.hypot(*np.ogrid[-y : BLOB_SIDE - y, -x : BLOB_SIDE - x]) < random.integers(20, 50)
        image[inside], mask[inside] = 255 - image[inside] // 4, 1
        split = "train" if row < images else "val"
        examples.append(Example(name=f"{row}", split=split, image=image, mask=mask))
    write_dataset(data, examples, annotation="mask", classes=("ground", "blob"), source="benchmark")
    return data


def import_digits(folder: Path) -> Path:
    """The digits as a data set below `folder`."""
    import_dataset("digits", folder / "digits")
    return folder / "digits"


def digits_arrays(data: Path) -> Path:
    """The decoded splits in a file of numpy's beside the data set: the peers load it in no time."""
    file = data.with_suffix(".npz")
    if not file.exists():
        splits = {split: decode_split(Dataset.open(data), split) for split in ("train", "val")}
        arrays: dict[str, Any] = {
            f"{split}_{name}": array for split, columns in splits.items() for name, array in columns.items()
        }
        np.savez(file, **arrays)
    return file


def write_specs(folder: Path, job: Mapping[str, Any], space: Mapping[str, Any]) -> tuple[Path, Path]:
    """job.yaml and space.yaml in a (new) folder; JSON is YAML, too."""
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "job.yaml", folder / "space.yaml"
    for file, content in zip(files, (job, space), strict=True):
        file.write_text(json.dumps(content, indent=2))
    return files


def run_side(name: str, folder: Path, *, timeout: float = 1800.0, **options: Any) -> dict[str, Any]:
    """Run `sides/<name>.py` in a process of its own, in which no other side has left imports or a Ray.

    options: its arguments, `recipe_trials=3` as `--recipe-trials 3`. Returns what it wrote to `<folder>/result.json`.
    It imports what lies beside it and beside this file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    flags = [part for key, value in options.items() for part in (f"--{key.replace('_', '-')}", str(value))]
    command = [sys.executable, str(SIDES / f"{name}.py"), "--folder", str(folder), *flags]
    run_command(command, folder / "log.txt", timeout=timeout, env={"PYTHONPATH": str(SIDES.parent)})
    return dict(json.loads((folder / "result.json").read_text()))


@contextlib.contextmanager
def attempt(name: str, failed: dict[str, str]) -> Iterator[None]:
    """Should a side fail, it is told and noted by this name, and the others go on."""
    try:
        yield
    except SideFailed as error:
        failed[name] = str(error)
        print(f"{name} failed, {error}", flush=True)


def run_command(command: Sequence[str], log: Path, *, timeout: float, env: Mapping[str, str] | None = None) -> None:
    """Run a command to its end, its output in `log`. SideFailed after an error, and after `timeout` seconds.

    env: environment variables beside those of this process.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**inherited, **(env or {})},
            start_new_session=True,
        )
        try:
            code = process.wait(timeout)
        except BaseException as error:
            # A Ray that was started by it ends with it.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise SideFailed(f"not done after {timeout:.0f} s:\n{_tail(log)}") from None
            raise
    if code != 0:
        raise SideFailed(f"exit code {code}:\n{_tail(log)}")


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def machine() -> dict[str, Any]:
    """What the figures were taken on, and how busy it was with other things when they were begun."""
    return {
        "cpu": _cpu_model(),
        "cores": cpus_here(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "load_average": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def header() -> dict[str, Any]:
    """Date, command and machine, which are printed: what makes a figure one that can be compared with others."""
    command = shlex.join(["python", os.path.relpath(sys.argv[0]), *sys.argv[1:]])
    date = datetime.datetime.now().astimezone().isoformat(timespec="minutes")
    head = {"date": date, "command": command, "machine": machine()}
    print(_header_line(head), flush=True)
    return head


def _header_line(head: Mapping[str, Any]) -> str:
    facts = dict(head["machine"])
    where = f"{facts.pop('cores')} cores of {facts.pop('cpu')}, {facts.pop('memory_gib')} GiB"
    busy = facts.pop("load_average")
    versions = ", ".join(f"{name} {version}" for name, version in facts.items())
    return f"{head['date']} · {where} · load {busy} · {versions}\n{head['command']}"


def median(values: Sequence[float]) -> float:
    return float(statistics.median(values))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table that can be read as text, numbers to the right. The columns are those of the first row."""
    columns = list(rows[0])
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    number = [all(isinstance(row.get(column), int | float | None) for row in rows) for column in columns]
    width = [max(len(column), *(len(line[i]) for line in cells)) for i, column in enumerate(columns)]

    def line(parts: Sequence[str]) -> str:
        padded = [
            part.rjust(w) if right else part.ljust(w) for part, w, right in zip(parts, width, number, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    rule = [f"{'-' * (w - 1)}{':' if right else '-'}" for w, right in zip(width, number, strict=True)]
    return "\n".join([line(columns), line(rule), *map(line, cells)])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return str(value)


def goal_lines(ratios: Mapping[str, Mapping[str, Any]]) -> str:
    """One line for each ratio: its value, its goal, and whether it was met."""
    lines = []
    for name, ratio in ratios.items():
        value, least, most = ratio["value"], ratio.get("at_least"), ratio.get("at_most")
        goal = f"at least {least:g}" if least is not None else f"at most {most:g}" if most is not None else "no goal"
        met = (least is None or value >= least) and (most is None or value <= most)
        lines.append(f"{name}: {value:.3g} ({goal}{'' if met else ', MISSED'})")
    return "\n".join(lines)


def report(
    options: argparse.Namespace,
    head: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    ratios: Mapping[str, Mapping[str, Any]],
) -> None:
    """Print the table and the ratios, and write them as JSON where that was asked for."""
    print(table(rows))
    print(goal_lines(ratios))
    write_json(options, {**head, "results": rows, "ratios": ratios})


def report_sides(
    options: argparse.Namespace,
    head: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    ratios: Mapping[str, Mapping[str, Any]],
    measured: Mapping[str, Any],
    failed: Mapping[str, str],
) -> None:
    """The same of sides that may fail (`attempt`): the rows of those that did not. Exits with 1 if any did.

    measured: for the JSON file, instead of the rows.
    """
    if rows:
        print(f"\n{table(rows)}\n\n{goal_lines(ratios)}")
    write_json(options, {**head, **measured, "ratios": ratios, "failed": failed})
    if failed:
        raise SystemExit(1)


def write_json(options: argparse.Namespace, content: Mapping[str, Any]) -> None:
    if options.json is not None:
        options.json.write_text(json.dumps(content, indent=2) + "\n")
