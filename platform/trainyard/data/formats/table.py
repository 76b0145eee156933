"""Tables of text: CSV and its relatives."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from trainyard.data.formats.names import is_image

DELIMITERS = ",;\t|"


@dataclass(frozen=True, kw_only=True)
class Table:
    """columns: their names; `column 1` and so on where the file has no line with names. rows: of as many cells."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]

    def column(self, name: str) -> list[str]:
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


def parse_table(text: str) -> Table:
    """The delimiter is the one that most lines have equally often, of , ; tab and |. The first line names the columns,
    unless one of its cells is the name of an image. ValueError, which names the line, for rows of another length."""
    lines = _cells(text)
    if not lines:
        raise ValueError("it is empty")
    width = len(lines[0])
    for number, line in enumerate(lines, 1):
        if len(line) != width:
            raise ValueError(f"row {number} has {len(line)} cells, the first one {width}")
    if any(map(is_image, lines[0])):
        return Table(columns=tuple(f"column {place + 1}" for place in range(width)), rows=lines)
    return Table(columns=tuple(lines[0]), rows=lines[1:])


def _cells(text: str) -> list[list[str]]:
    """Of all lines that are not empty."""
    sample = text.splitlines()[:20]
    if not sample:
        return []
    try:
        lines = list(csv.reader(io.StringIO(text), delimiter=_delimiter(sample), skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(f"it is no table: {error}") from error
    return [[cell.strip() for cell in line] for line in lines if any(cell.strip() for cell in line)]


def _delimiter(sample: Sequence[str]) -> str:
    def fit(delimiter: str) -> tuple[int, int]:
        counts = [len(cells) for cells in csv.reader(sample, delimiter=delimiter)]
        return (counts.count(counts[0]) if counts[0] > 1 else 0), counts[0]

    return max(DELIMITERS, key=fit)
