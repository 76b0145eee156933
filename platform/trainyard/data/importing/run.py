"""Importing a source: the table of contents.

plan      planning.py     entries, splits made (splitting.py), files to be
own       destination.py  one import at a time; what is finished stays
write     shard.py        each file by one worker (workers.py): read; checked (checks.py, and pictures.py, masks.py and
                          boxes.py behind it); its rows counted (tally.py) and written (tables.py)
compare   duplicates.py   the same image in several splits
judge     here            what the problems mean for the import
finish    facts.py        the manifest, written last; beside it report.py's
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from trainyard.data.importing.checks import OnError, Rules
from trainyard.data.importing.destination import (
    check_claim,
    check_complete,
    check_free,
    claim,
    clear,
    finished,
    held,
    publish,
)
from trainyard.data.importing.duplicates import Duplicate, duplicates_across_splits
from trainyard.data.importing.facts import ShardFacts, manifest_of
from trainyard.data.importing.planning import Plan, places, plan_import
from trainyard.data.importing.report import Report, report_of, write_report
from trainyard.data.importing.shard import REMOTE_READERS, Shard, make_shard, writing_to
from trainyard.data.importing.splitting import SplitRule
from trainyard.data.importing.workers import Run, in_process, on_processes
from trainyard.data.location import Location
from trainyard.data.manifest import Manifest
from trainyard.data.source import Problem, Source
from trainyard.errors import DataError

LITTLE_WORK = 4.0
"""Seconds below which processes don't pay: they take about two to start."""

FIRST_PROBLEMS = 10
"""That an error names."""

Progress = Callable[[int, int], None]
"""Called with the rows that are done and all rows."""


def import_source(
    source: Source,
    destination: Location,
    *,
    format_name: str,
    source_text: str = "",
    on_error: OnError = "report",
    splits: SplitRule | None = None,
    run: Run | None = None,
    on_progress: Progress | None = None,
) -> Manifest:
    """Write a source as a data set. An import that was interrupted goes on with the files that are left.

    source_text: the source as the user wrote it, for messages. run: how the files are made; by default on all cores
    that this process may use, if that pays. DataError for whatever can't be, in the source or at the destination.
    """
    check_free(destination)
    plan = plan_import(source, format_name=format_name, on_error=on_error, splits=splits or SplitRule())
    run = run or (on_processes() if _pays(plan) else in_process)
    with held(destination):
        check_free(destination)
        claim(destination, plan)
        work = partial(
            make_shard, read=source.read, rules=plan.rules, destination=destination, readers=_readers(source)
        )
        shards, duplicates = _made(plan, destination, run, work, on_progress or _silent)
        if unseen := _unseen(source, shards):
            clear(destination, [shard.file for shard in plan.shards])
            raise DataError(
                f"{unseen} is there, but was not found where it was to be read: the nodes of the cluster look "
                "elsewhere. Put the source on shared storage or in a bucket."
            )
        problems = _problems(plan, shards, duplicates)
        report = report_of(
            problems,
            format_name=format_name,
            source_text=source_text or format_name,
            on_error=on_error,
            ignored=plan.ignored,
        )
        if reason := _refusal(problems, shards, plan.rules):
            clear(destination, [shard.file for shard in plan.shards])
            raise _failure(reason, destination, report)
        manifest = manifest_of(
            shards, plan.rules, source=format_name, made_splits=plan.made_splits, problems=len(problems)
        )
        with writing_to(destination):
            check_claim(destination, plan)
            # First the report: on NFS a folder's list is read anew after a change of one's own.
            write_report(destination, report)
            check_complete(destination, shards)
            publish(destination, manifest)
    return manifest


def _made(
    plan: Plan,
    destination: Location,
    run: Run,
    work: Callable[[Shard], ShardFacts],
    on_progress: Progress,
) -> tuple[list[ShardFacts], list[Duplicate]]:
    """The facts of all files, and the rows that are kept though their image is in another split, too."""
    facts = finished(destination, plan.shards)
    done = sum(len(shard.entries) for shard in plan.shards if shard.file in facts)
    sizes = {shard.file: len(shard.entries) for shard in plan.shards}
    on_progress(done, plan.rows)
    for made in run(work, [shard for shard in plan.shards if shard.file not in facts]):
        facts[made.file] = made
        done += sizes[made.file]
        on_progress(done, plan.rows)
    duplicates = duplicates_across_splits([facts[shard.file] for shard in plan.shards])
    if plan.rules.on_error == "skip" and duplicates:
        # Known only when all images are read: the few files that hold one are made again without it.
        for made in run(work, _without(duplicates, plan.shards, facts)):
            facts[made.file] = made
        duplicates = []
    return [facts[shard.file] for shard in plan.shards], duplicates


def _unseen(source: Source, shards: Sequence[ShardFacts]) -> Location | None:
    """A file that a process missed, though this one finds it."""
    missing = (problem.file for shard in shards for problem in shard.problems if problem.kind == "missing")
    first = next(missing, None)
    files = [] if first is None else [place / first for place in places(source)]
    return next((file for file in files if file.exists()), None)


def _without(duplicates: Sequence[Duplicate], shards: Sequence[Shard], facts: dict[str, ShardFacts]) -> list[Shard]:
    excluded: dict[int, dict[int, str]] = {}
    for duplicate in duplicates:
        # With those that an interrupted import took out, which are found no more.
        before = facts[shards[duplicate.shard].file].excluded
        reason = _duplicate_problem(duplicate, shards).reason
        excluded.setdefault(duplicate.shard, dict(before))[duplicate.position] = reason
    return [replace(shards[index], excluded=reasons) for index, reasons in sorted(excluded.items())]


def _duplicate_problem(duplicate: Duplicate, shards: Sequence[Shard]) -> Problem:
    kept = shards[duplicate.kept_shard]
    other = kept.entries[duplicate.kept_position].name
    return Problem(
        file=shards[duplicate.shard].entries[duplicate.position].name,
        reason=f"the same image is in split {kept.split}: {other}",
        outcome="kept",
        kind="duplicate across splits",
    )


def _missing_rows(shards: Sequence[ShardFacts], rules: Rules) -> list[Problem]:
    """Splits without a row, and classes that occur nowhere or not where they would be learned."""
    left = {shard.split for shard in shards if shard.rows}
    problems = [
        Problem(file=f"split {split}", reason="none of its images is left", kind="empty split")
        for split in dict.fromkeys(shard.split for shard in shards)
        if split not in left
    ]
    for index, name in enumerate(rules.classes):
        splits = {shard.split for shard in shards if shard.class_images[index]}
        if "train" not in splits:
            elsewhere = f" of train, but in some of {', '.join(sorted(splits))}" if splits else ""
            reason = f"it occurs in no image{elsewhere}"
            problems.append(Problem(file=f"class {name}", reason=reason, outcome="kept", kind="empty class"))
    return problems


def _problems(plan: Plan, shards: Sequence[ShardFacts], duplicates: Sequence[Duplicate]) -> list[Problem]:
    """In an order that doesn't follow the shuffled one of the rows."""
    of_rows = [problem for shard in shards for problem in shard.problems]
    of_rows += [_duplicate_problem(duplicate, plan.shards) for duplicate in duplicates]
    of_rows.sort(key=lambda problem: problem.file)
    return [*plan.problems, *of_rows, *_missing_rows(shards, plan.rules)]


def _refusal(problems: Sequence[Problem], shards: Sequence[ShardFacts], rules: Rules) -> str | None:
    """Why no data set is made, if so."""
    if rules.on_error == "fail" and problems:
        count = f"{len(problems):,} problem{'s' * (len(problems) != 1)}"
        return f"{count}, so no data set was made (--on-error fail)"
    if not any(shard.rows for shard in shards):
        return "no image is left, so no data set was made"
    if not any(shard.rows for shard in shards if shard.split == "train"):
        splits = ", ".join(dict.fromkeys(shard.split for shard in shards))
        return f"no image is in split train, so no data set was made; the splits are {splits}"
    if not any(sum(shard.class_totals) for shard in shards):
        nothing = "no image has a box" if rules.annotation == "boxes" else "all pixels of all masks are void"
        return f"{nothing}, so no data set was made; check the format, and the ids or values of the classes"
    return None


def _failure(reason: str, destination: Location, report: Report) -> DataError:
    """With the first problems, and all of them in a report."""
    if not report.problems:
        return DataError(f"{report.source}: {reason}.")
    lines = [f"  {problem.file}: {problem.reason}" for problem in report.problems[:FIRST_PROBLEMS]]
    if rest := len(report.problems) - len(lines):
        lines.append(f"  and {rest:,} more")
    with writing_to(destination):
        lines.append(f"Report: {write_report(destination, report)}")
    return DataError("\n".join([f"{report.source}: {reason}:", *lines]))


def _pays(plan: Plan) -> bool:
    """Decoding files takes about 1 s for each 40 MB or 7,000 files, copying arrays a tenth."""
    files = sum(entry.source_bytes for shard in plan.shards for entry in shard.entries) / 40e6 + plan.rows / 7000
    return len(plan.shards) > 1 and files * (0.1 if plan.rules.raw else 1) > LITTLE_WORK


def _readers(source: Source) -> int:
    """A source in a bucket holds its location."""
    return REMOTE_READERS if any(place.scheme for place in places(source)) else 1


def _silent(done: int, total: int) -> None:
    """Nobody watches."""
