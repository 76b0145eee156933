"""What the documents show is true: their jobs and spaces, the outputs of `check`, and every field in docs/specs.md."""

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from trainyard.cli.main import run
from trainyard.data.dataset import Dataset
from trainyard.data.local import read_here
from trainyard.errors import SpecError
from trainyard.spec import check, json_schema, load_job, load_space
from trainyard.spec.models.settings import OWN_MODEL
from trainyard.spec.scalars import write
from trainyard.spec.tasks import TASKS

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "specs.md"
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("README.md")])

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"# ((jobs|search_spaces)/[\w/.-]+\.(?:yaml|py))(, refused)?\n")
"""The first line of a block that is a file: its path, and whether it is there to be refused."""


@dataclass(frozen=True)
class Shown:
    """A file that a page shows."""

    page: Path
    path: str
    text: str
    refused: bool

    @property
    def folder(self) -> str:
        return self.path.partition("/")[0] if self.path.endswith(".yaml") else ""


def shown_on(page: Path) -> Iterator[Shown]:
    for _, text in BLOCK.findall(page.read_text()):
        mark = MARK.match(text)
        if mark:
            yield Shown(page, mark[1], text, refused=mark[3] is not None)


SHOWN = [shown for page in PAGES for shown in shown_on(page)]
JOBS = [shown for shown in SHOWN if shown.folder == "jobs" and not shown.refused]
SPACES = [shown for shown in SHOWN if shown.folder == "search_spaces" and not shown.refused]
COMMANDS = [
    (command, output)
    for kind, text in BLOCK.findall(GUIDE.read_text())
    if kind == "console"
    for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)
    if command.startswith("trainyard check")
]


def named(shown: Shown) -> str:
    return f"{shown.page.stem}:{shown.path}"


def written(page: Path, folder: Path) -> Path:
    """The folder, with all that a page shows in it."""
    for shown in shown_on(page):
        file = folder / shown.path
        file.parent.mkdir(exist_ok=True)
        file.write_text(shown.text)
    return folder


def test_the_guide_shows_some() -> None:
    assert {shown.folder for shown in shown_on(GUIDE)} >= {"jobs", "search_spaces"}
    assert COMMANDS


@pytest.mark.parametrize("job", JOBS, ids=named)
def test_a_shown_job_is_valid(job: Shown, tmp_path: Path) -> None:
    load_job(written(job.page, tmp_path) / job.path)


@pytest.mark.parametrize("space", SPACES, ids=named)
def test_a_shown_space_fits_a_job_of_its_page(space: Shown, tmp_path: Path) -> None:
    place = written(space.page, tmp_path)
    jobs = [place / job.path for job in JOBS if job.page == space.page] or sorted((ROOT / "jobs").glob("*.yaml"))
    problems = []
    for job in jobs:
        try:
            return check(load_job(job), load_space(place / space.path))
        except SpecError as error:
            problems.append(f"{job.name}: {error}")
    pytest.fail("\n".join(problems))


@pytest.mark.parametrize(("command", "output"), COMMANDS, ids=lambda value: value if "trainyard" in value else "")
def test_check_prints_what_is_shown(
    command: str,
    output: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(written(GUIDE, tmp_path))

    run(shlex.split(command)[1:])

    printed = capsys.readouterr()
    assert printed.out + printed.err == output


@pytest.mark.parametrize("job", [job for job in JOBS if job.page == GUIDE], ids=named)
def test_a_job_of_the_guide_trains_on_the_digits(
    job: Shown, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainyard.training.trial import Trial

    monkeypatch.setattr(sys, "path", [*sys.path])
    loaded = load_job(written(GUIDE, tmp_path) / job.path)
    data = read_here(Dataset.open(digits), loaded.data)

    assert Trial(loaded, data, directory=loaded.directory).epoch()["val/accuracy"] > 0.2


# Tables: every field of the JSON schemas, with its bounds and its default.

SIGNS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
TYPES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
MOST_CHOICES = 16
"""More aren't written out in a table."""
SHORT = {2**power: f"2^{power}" for power in (31, 32, 53, 63)}


@dataclass(frozen=True)
class Field:
    """A setting that holds no others. kind: the `name` or `type` of the section it is in, if that is one of several."""

    path: str
    kind: str | None
    rule: dict[str, Any]
    required: bool

    @property
    def default(self) -> str:
        if self.required:
            return "required"
        return "none" if self.rule["default"] is None else f"`{write(self.rule['default'])}`"

    @property
    def bounds(self) -> list[str]:
        """What must be said of its values."""
        rule = next((option for option in self.rule.get("anyOf", ()) if option.get("type") != "null"), self.rule)
        if rule.get("type") == "array":
            rule = rule["prefixItems"][0] if "prefixItems" in rule else rule["items"]
        choices = [f"`{choice}`" for choice in rule.get("enum", [rule["const"]] if "const" in rule else [])]
        if len(choices) > MOST_CHOICES:
            return [f"one of {len(choices)} names"]
        kind = [TYPES[rule["type"]]] if rule.get("type") in TYPES and not choices else []
        return [*choices, *kind, *(f"{sign} {short(rule[key])}" for key, sign in SIGNS.items() if key in rule)]


def short(number: float) -> str:
    return f"{'-' if number < 0 else ''}{SHORT.get(abs(number), f'{abs(number):g}')}"


def sections(rule: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The sections that a rule lets stand somewhere; none for plain values."""
    if "$ref" in rule:
        return sections(schema["$defs"][rule["$ref"].rpartition("/")[2]], schema)
    if "properties" in rule:
        return [rule]
    inner = [*rule.get("anyOf", ()), *rule.get("oneOf", ()), rule.get("additionalProperties"), rule.get("items")]
    return [section for option in inner if isinstance(option, dict) for section in sections(option, schema)]


def fields_of(
    rule: dict[str, Any], schema: dict[str, Any], path: str = "", outer: str | None = None
) -> Iterator[Field]:
    """outer: the kind of the section that these are in, which is theirs if they have none of their own."""
    for section in sections(rule, schema):
        names = section["properties"]
        chooser = names.get("name") or names.get("type")
        kind = chooser.get("const", OWN_MODEL) if chooser and path else outer
        for name, inner in names.items():
            if sections(inner, schema):
                yield from fields_of(inner, schema, f"{path}{name}.", kind)
            else:
                yield Field(path + name, kind, inner, name in section.get("required", ()))


def rows_of_tables() -> dict[str, list[dict[str, str]]]:
    """The rows of the guide's tables of fields, by the section whose heading they are under."""
    rows: dict[str, list[dict[str, str]]] = {}
    heading, columns = "", []
    for line in GUIDE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith(("## ", "### ")):
            heading = line.strip("# `")
        elif not line.startswith("|"):
            columns = []
        elif cells[0] == "field":
            columns = cells
        elif columns and line.startswith("| `"):
            rows.setdefault(heading, []).append(dict(zip(columns, cells, strict=True)))
    return rows


@pytest.mark.parametrize("kind", ["job", "space"])
def test_every_field_is_in_its_table_with_bounds_and_default(kind: Literal["job", "space"]) -> None:
    schema, tables = json_schema(kind), rows_of_tables()
    untrue = []
    for field in fields_of(schema, schema):
        section, _, path = field.path.partition(".") if "." in field.path else ("The top level", "", field.path)
        found = [row for row in tables.get(section, ()) if row["field"] == f"`{path}`" and is_of(row, field.kind)]
        if len(found) != 1:
            untrue.append(f"{field.path} of {field.kind}: {len(found)} rows under the heading {section}")
        else:
            missing = [bound for bound in field.bounds if bound not in found[0]["value"]]
            untrue += (
                [f"{field.path} of {field.kind}: the value is {missing}, not {found[0]['value']}"] if missing else []
            )
            if found[0]["default"] != field.default:
                untrue.append(
                    f"{field.path} of {field.kind}: the default is {field.default}, not {found[0]['default']}"
                )

    assert untrue == []


def is_of(row: dict[str, str], kind: str | None) -> bool:
    return row.get("of") in (None, "all") or f"`{kind}`" in row["of"]


@pytest.mark.parametrize("task", TASKS)
def test_every_metric_and_loss_term_of_a_task_is_named(task: str) -> None:
    text = GUIDE.read_text()

    assert [name for name in TASKS[task].metrics if f"`{name}`" not in text] == []
    assert [name for name in TASKS[task].loss_terms if f"`{name}." not in text] == []
