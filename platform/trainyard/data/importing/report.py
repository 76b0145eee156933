"""What was wrong with a source, kept beside its data set."""

from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, ValidationError

from trainyard.data.dataset import REPORT_FILE
from trainyard.data.importing.checks import OnError
from trainyard.data.location import Location
from trainyard.data.source import Problem
from trainyard.errors import DataError


class Report(BaseModel):
    """source: as the user wrote it. counts: kind of problem to the number of cases, the most frequent first.

    ignored: files of the source that its format neither reads nor expects.
    """

    model_config = ConfigDict(frozen=True)

    format: str
    source: str
    on_error: OnError
    ignored: int = 0
    counts: dict[str, int]
    problems: tuple[Problem, ...]


def report_of(
    problems: Sequence[Problem], *, format_name: str, source_text: str, on_error: OnError, ignored: int = 0
) -> Report:
    counts = Counter(problem.kind for problem in problems)
    return Report(
        format=format_name,
        source=source_text.encode(errors="replace").decode(),  # A path may hold bytes that are no text.
        on_error=on_error,
        ignored=ignored,
        counts=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        problems=tuple(problems),
    )


def write_report(destination: Location, report: Report) -> Location:
    """Where it was written. OSError if the disk refuses."""
    file = destination / REPORT_FILE
    file.write_bytes(report.model_dump_json(indent=1).encode() + b"\n")
    return file


def read_report(destination: Location) -> Report:
    """DataError if it is missing or damaged."""
    file = destination / REPORT_FILE
    try:
        return Report.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"can't read {file}: {str(error).splitlines()[0]}.") from error
