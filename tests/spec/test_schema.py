"""The JSON Schemas that editors use accept what we accept."""

from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from trainyard.spec import json_schema
from trainyard.spec.yaml_reader import read_file, read_text

ROOT = Path(__file__).parents[2]
FILES = [*((path, "job") for path in (ROOT / "jobs").glob("*.yaml"))]
FILES += [*((path, "space") for path in (ROOT / "search_spaces").glob("*.yaml"))]
DESIGNED = """
parameters:
  optimizer.lr: {type: float, low: 1e-5, high: 1e-2, log: true}
  loss: {type: simplex, over: [cross_entropy, dice, focal]}
  loss.focal.gamma: {type: float, low: 1, high: 4, when: {loss.focal.weight: {above: 0.05}}}
  schedule.name: {type: categorical, choices: [one_cycle, cosine]}
  schedule.pct_start: {type: float, low: 0.1, high: 0.5, when: {schedule.name: one_cycle}}
search: {sampler: tpe, scheduler: {name: asha, grace: 2, reduction_factor: 3}, trials: 40}
"""


def errors_in(kind: Any, data: dict[str, Any]) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(json_schema(kind)).iter_errors(data)]


@pytest.mark.parametrize("kind", ["job", "space"])
def test_it_is_a_schema(kind: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(kind))


@pytest.mark.parametrize(("path", "kind"), FILES, ids=lambda value: getattr(value, "stem", value))
def test_it_accepts_what_ships(path: Path, kind: Any) -> None:
    assert errors_in(kind, read_file(path, kind).data) == []


def test_it_accepts_the_short_forms_of_a_space() -> None:
    assert errors_in("space", read_text(DESIGNED, "space.yaml", "space").data) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [("sampler: tpe", "sampler: tpee"), ("low: 1e-5", "lowest: 1e-5"), ("trials: 40", "trials: 0"), ("above", "over")],
)
def test_it_refuses_what_we_refuse(old: str, new: str) -> None:
    assert errors_in("space", read_text(DESIGNED.replace(old, new), "space.yaml", "space").data)


def test_settings_carry_their_descriptions() -> None:
    schema = json_schema("job")

    assert schema["$defs"]["Training"]["properties"]["batch_size"]["description"]
    assert schema["$defs"]["OneCycle"]["description"]
