"""Files as they are read: values, lines, and what can't be read at all."""

from pathlib import Path

import pytest

from trainyard.errors import SpecError
from trainyard.spec import load_job
from trainyard.spec.yaml_reader import read_file, read_text, read_value


def problems_of(path: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read_file(path, "job")
    return [str(problem) for problem in caught.value.problems]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_values_and_lines() -> None:
    document = read_text("a: 1e-4\nb:\n  c: [1, {d: yes}]\n  'on': null\n", "x.yaml", "job")

    assert document.data == {"a": 1e-4, "b": {"c": [1, {"d": "yes"}], "on": None}}
    assert document.source.where(("b", "c", 1, "d")) == "x.yaml:3"
    assert document.source.where(("b", "on")) == "x.yaml:4"
    assert document.problems == []


def test_an_unknown_place_is_that_of_the_section_around_it() -> None:
    document = read_text("a: 1\nb: {c: 2}\n", "x.yaml", "job")

    assert document.source.where(("b", "missing")) == "x.yaml:2"
    assert document.source.where(("missing",)) == "x.yaml:1"


def test_anchors_repeat_values() -> None:
    assert read_text("a: &rate 1e-3\nb: *rate\n", "x.yaml", "job").data == {"a": 1e-3, "b": 1e-3}


def test_yaml_1_1_is_read_as_1_2() -> None:
    assert read_text("%YAML 1.1\n---\na: yes\n", "x.yaml", "job").data == {"a": "yes"}


def test_a_byte_order_mark_is_skipped() -> None:
    Path("x.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")

    assert read_file(Path("x.yaml"), "job").data == {"a": 1}


def test_a_missing_file_is_told_with_the_nearest_one() -> None:
    Path("digits_cnn.yaml").write_text("a: 1\n")

    assert problems_of(Path("digit_cnn.yaml")) == ["digit_cnn.yaml: no such file. Did you mean digits_cnn.yaml?"]


def test_a_missing_folder() -> None:
    assert problems_of(Path("nowhere/x.yaml")) == ["nowhere/x.yaml: no such file."]


def test_a_folder_is_no_file() -> None:
    Path("jobs").mkdir()

    assert problems_of(Path("jobs")) == ["jobs: this is a directory; give the YAML file of a job."]


def test_text_that_is_not_utf_8() -> None:
    Path("x.yaml").write_bytes("name: digits\ntask: schön\n".encode("latin-1"))

    assert problems_of(Path("x.yaml")) == ["x.yaml:2: the file must be UTF-8, got the byte 0xf6. Save it as UTF-8."]


def test_a_file_that_is_too_large() -> None:
    Path("x.yaml").write_text("#" * 300_000)

    assert problems_of(Path("x.yaml")) == [
        "x.yaml: a job has at most 256 KiB, and this file is larger. Is it the right one?"
    ]


def test_nested_anchors_that_stand_for_billions_of_values() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)]
    Path("x.yaml").write_text("\n".join(lines))

    assert problems_of(Path("x.yaml")) == ["x.yaml:1: more than 10000 values once anchors are followed; write less."]


def test_values_nested_too_deep() -> None:
    Path("x.yaml").write_text("a: " + "[" * 5000 + "]" * 5000)

    assert problems_of(Path("x.yaml")) == ["x.yaml:1: nested more than 20 deep."]


@pytest.mark.parametrize(
    ("text", "value"), [("1e-4", 1e-4), ("[16, 32]", [16, 32]), ("nets:build", "nets:build"), ("''", "")]
)
def test_a_value_of_the_command_line(text: str, value: object) -> None:
    assert read_value(text) == value


def test_problems_of_a_loaded_file_come_all_at_once_in_the_order_of_its_lines() -> None:
    Path("job.yaml").write_text("name: a b\ntask: x\ntask: y\ntraining: {epochs: 0, batch_size:}\n")
    with pytest.raises(SpecError) as caught:
        load_job(Path("job.yaml"), ["resources.workers=0"])

    places = [problem.where for problem in caught.value.problems]
    assert places[:4] == ["job.yaml:1", "job.yaml:1", "job.yaml:1", "job.yaml:1"]
    assert [place for place in places if place != "job.yaml:1"] == [
        "job.yaml:2", "job.yaml:3", "job.yaml:4", "job.yaml:4", "command line",
    ]  # fmt: skip
