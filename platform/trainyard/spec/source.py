"""Where a spec comes from, so that a problem can say file and line."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from trainyard.errors import Problem
from trainyard.spec.section import Flaw, Path

COMMAND_LINE = "command line"


@dataclass(frozen=True, kw_only=True)
class Source:
    """The file of a spec, the line of each of its keys, and the paths that the command line has set.

    file is any other name for a spec that comes from no file.
    """

    file: str
    lines: Mapping[Path, int] = field(default_factory=dict)
    overridden: frozenset[Path] = frozenset()

    def where(self, path: Path) -> str:
        """`file:line` of the path or of the nearest section that was written, or `command line`."""
        ends = [path[:length] for length in range(len(path), 0, -1)]
        if any(end in self.overridden for end in ends):
            return COMMAND_LINE
        if not self.lines:
            return self.file
        return f"{self.file}:{next((self.lines[end] for end in ends if end in self.lines), 1)}"

    def locate(self, flaws: Iterable[Flaw]) -> list[Problem]:
        """Flaws as problems; one that involves the command line is blamed on it."""
        return by_line(Problem(self._blame(flaw), flaw.message) for flaw in flaws)

    def _blame(self, flaw: Flaw) -> str:
        places = [self.where(path) for path in (flaw.path, *flaw.involved)]
        return COMMAND_LINE if COMMAND_LINE in places else places[0]


def by_line(problems: Iterable[Problem]) -> list[Problem]:
    """The problems of a file in the order of its lines, those of the command line last."""

    def line(problem: Problem) -> float:
        last = problem.where.rpartition(":")[2]
        return int(last) if last.isdigit() else float("inf")

    return sorted(problems, key=line)
