"""The table of bad specs: what each is told, word for word."""

from pathlib import Path
from typing import Any

import pytest

from trainyard.errors import SpecError
from trainyard.spec import load
from trainyard.spec.yaml_reader import read_text

TABLE = read_text((Path(__file__).parent / "bad_specs.yaml").read_text(), "bad_specs.yaml", "table").data


def changed(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, f"{old!r} isn't in the file that the case changes"
        text = text.replace(old, new, 1)
    return text


@pytest.mark.parametrize("case", TABLE["cases"], ids=lambda case: case["case"])
def test_bad_spec_is_told(case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job, space = Path("job.yaml"), Path("space.yaml")
    job.write_text(case.get("job_file", changed(TABLE["job"], case.get("job_change", {}))))
    space.write_text(case.get("space_file", changed(TABLE["space"], case.get("space_change", {}))))
    uses_space = case.get("with_space") or "space_file" in case or "space_change" in case

    with pytest.raises(SpecError) as caught:
        load(job, space if uses_space else None, case.get("overrides", []))

    assert [str(problem) for problem in caught.value.problems] == case["says"]


@pytest.mark.parametrize("uses_space", [False, True])
def test_unchanged_specs_of_the_table_are_good(uses_space: bool, tmp_path: Path) -> None:
    job, space = tmp_path / "job.yaml", tmp_path / "space.yaml"
    job.write_text(TABLE["job"])
    space.write_text(TABLE["space"])

    assert load(job, space if uses_space else None)[0].name == "digits"
