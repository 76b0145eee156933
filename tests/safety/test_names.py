"""Names and paths stay in their folders, whoever wrote them."""

import json
from pathlib import Path

import pytest

from trainyard.data.dataset import Dataset
from trainyard.errors import RunError, TrainyardError
from trainyard.spec.job import Job
from trainyard.sweep.results.folder import SweepFolder
from trainyard.tracking.events import from_json
from trainyard.tracking.journal import Journal

HOSTILE = [
    "../elsewhere",
    "..",
    ".",
    "/etc/elsewhere",
    "a/b",
    "a\\b",
    "a\x00b",
    "a\nb",
    "",
    ".hidden",
    "-rf",
    "~",
    "$HOME",
    "a b",
    "A",
    "ä",
    "x" * 64,
    "a/../../b",
    "%2e%2e%2f",
]


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize("name", HOSTILE)
def test_no_sweep_has_a_name_that_leaves_its_folder(name: str, tmp_path: Path, digits_job: Job) -> None:
    results = tmp_path / "deep" / "results"
    results.mkdir(parents=True)
    before = everything(tmp_path)
    with pytest.raises(TrainyardError, match="--name must be"):
        SweepFolder.create(results, name, digits_job, None)
    with pytest.raises(TrainyardError, match="--resume must be"):
        SweepFolder.resume(results, name)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("name", HOSTILE)
def test_no_job_has_a_name_that_could_be_a_path(name: str, digits_job: Job) -> None:
    with pytest.raises(TrainyardError, match=r"name"):
        Job.from_dict({**digits_job.to_dict(), "name": name})


def test_a_sweep_is_not_written_through_a_link_that_is_in_its_place(tmp_path: Path, digits_job: Job) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mine").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TrainyardError, match="is taken"):
        SweepFolder.create(tmp_path / "results", "mine", digits_job, None)
    assert not everything(tmp_path / "elsewhere")


@pytest.mark.parametrize("name", ["../train-00000.parquet", "/etc/passwd", "a/b.parquet", "..", ".hidden"])
def test_a_manifest_names_no_file_outside_of_its_data_set(name: str, digits: Path, tmp_path: Path) -> None:
    manifest = json.loads((digits / "manifest.json").read_text())
    manifest["splits"]["train"]["files"][0]["name"] = name
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(TrainyardError, match="manifest"):
        Dataset.open(str(tmp_path))


@pytest.mark.parametrize("kind", ["trial_pictures", "sweep_pictures"])
@pytest.mark.parametrize(
    "file",
    [
        "../../private.key",
        "/etc/passwd",
        "pictures/../../a.png",
        "trials/../pictures/a.png",
        "trials/00000/pictures/../../../a.png",
        "trials/00000/last.pt",
        "pictures/..",
        "pictures/a/b.png",
        "pictures/a.png\n",
        "job.yaml",
        "",
        3,
        None,
    ],
)
def test_a_journal_names_no_file_that_is_no_picture_of_its_sweep(kind: str, file: object) -> None:
    event = {"event": kind, "files": ["pictures/00001.png", file]} | (
        {"trial": 0, "epoch": 1} if kind == "trial_pictures" else {}
    )
    with pytest.raises(ValueError, match=r"no picture of a sweep is at|expected string"):
        from_json(json.dumps(event))


def test_a_journal_that_names_other_files_is_damaged(tmp_path: Path) -> None:
    line = json.dumps({"event": "sweep_pictures", "files": ["../../private.key"]})
    (tmp_path / "journal.jsonl").write_text(line + "\n")
    with pytest.raises(
        RunError, match=r"journal\.jsonl:1: this line of the journal is damaged \(no picture of a sweep"
    ):
        Journal.read(tmp_path / "journal.jsonl")
