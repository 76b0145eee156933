"""An import as a user sees it: options, a progress bar, what came of it."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from trainyard.cli.printing import counted
from trainyard.errors import UsageError

if TYPE_CHECKING:
    from trainyard.data.importing.workers import Run
    from trainyard.data.location import Location
    from trainyard.data.manifest import Manifest
    from trainyard.data.source import ImportOptions

WHAT = {"label": "images with a label", "mask": "images with a mask", "boxes": "images with boxes"}


def import_options(*, classes: str | None, void: str | None, **others: str | None) -> "ImportOptions":
    """From what the flags say. UsageError for a --void that is no number, DataError for unreadable classes."""
    from trainyard.data.formats.class_list import class_options
    from trainyard.data.source import ImportOptions

    stated: dict[str, Any] = {name: value for name, value in others.items() if value is not None}
    if classes is not None:
        stated |= class_options(classes)
    if void is not None:
        stated["void"] = _numbers(void)
    return ImportOptions(**stated)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--void must be whole numbers with commas between them, got {text}.") from error


@contextlib.contextmanager
def runner(address: str | None, cpus: int | None, source: "Location | None" = None) -> Iterator["Run | None"]:
    """What maps the work: the cluster at an address, so many processes of this machine, or what the import chooses.

    UsageError for an archive on a cluster of several nodes.
    """
    from trainyard.data.importing.workers import on_processes

    if address is None:
        yield None if cpus is None else on_processes(cpus)
        return
    if cpus is not None:
        raise UsageError("--cpus is for this machine, and --address names a cluster. Leave one of them out.")
    from trainyard.cli.address import check_address

    check_address(address)
    from trainyard.cluster.mapping import over_cluster
    from trainyard.cluster.session import connected

    with connected(address=address) as nodes:
        if source is not None:
            check_readable(source, len(nodes))
        yield over_cluster


def check_readable(source: "Location", nodes: int) -> None:
    """UsageError for an archive on a cluster of several nodes."""
    from trainyard.data.importing.archive import is_archive

    if nodes > 1 and is_archive(source) and not source.is_directory():
        raise UsageError(
            f"{source} is an archive, which is unpacked on this machine, and the other nodes of the cluster can't read "
            "it there. Unpack it on shared storage and name the folder, or leave --address out."
        )


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[int, int], None]]:
    """`(done, total)` rows as a bar on the terminal's error stream; nothing where that is none."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("importing"), BarColumn(), MofNCompleteColumn(), TextColumn("images"))
    with Progress(
        *columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=Console(stderr=True)
    ) as bar:
        task = bar.add_task("import", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def summary(destination: "Location", manifest: "Manifest") -> list[str]:
    """What was imported, what was wrong with it, and how to go on."""
    from trainyard.data.importing.report import read_report

    rows = ", ".join(f"{split} {facts.rows:,}" for split, facts in manifest.splits.items())
    lines = [f"{destination}: {counted(len(manifest.classes), 'class')}; rows: {rows}."]
    for split, made in manifest.made_splits.items():
        how = "stratified, " if made.stratified else ""
        lines.append(f"The source has no {split}: {made.fraction:.0%} of {made.taken_from} ({how}seed {made.seed}).")
    if ignored := read_report(destination).ignored:
        lines.append(f"Not read, as the format has no use for them: {counted(ignored, 'file')} of the source.")
    if manifest.problems:
        lines += problem_lines(destination)
    return [*lines, f"Name it in a job: data: {{path: {destination}}}"]


def problem_lines(destination: "Location", most: int = 5) -> list[str]:
    """The first problems of an import's report, and where all of them are."""
    from trainyard.data.dataset import REPORT_FILE
    from trainyard.data.importing.report import read_report

    report = read_report(destination)
    total = len(report.problems)
    kinds = ", ".join(f"{kind}: {count:,}" for kind, count in report.counts.items())
    lines = [f"{counted(total, 'problem')} ({kinds}):"]
    lines += [f"  {problem.file}: {problem.reason} ({problem.outcome})" for problem in report.problems[:most]]
    if total > most:
        lines.append(f"  and {total - most} more in {destination / REPORT_FILE}")
    return lines


def source_and_destination(places: Sequence[str]) -> tuple[str | None, str]:
    """SRC and DST of the arguments; UsageError where there are more."""
    if len(places) > 2:
        raise UsageError(
            f"trainyard data import takes a source and a destination, got {', '.join(places)}. "
            "Write: trainyard data import FORMAT [SRC] DST"
        )
    return (places[0] if len(places) == 2 else None), places[-1]


def format_lines() -> list[str]:
    """Each format with its layout and options."""
    from trainyard.data.formats import FORMATS

    lines = []
    for name, facts in FORMATS.items():
        lines += [f"{name}: {facts.help}", *(f"    {line}" for line in facts.layout.splitlines())]
        lines += [f"  --{option.replace('_', '-')}: {text}" for option, text in facts.options.items() if text]
    return lines
