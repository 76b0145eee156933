"""Where a sweep is kept: on a disk, or in a bucket with a part on the driver's disk."""

from pathlib import Path

import pytest

from trainyard.cli.options import results_at
from trainyard.data.location import Location
from trainyard.errors import UsageError
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep.results.checkpoints import Tidying, TrialFolder
from trainyard.sweep.results.folder import SweepFolder


def test_on_a_disk_all_is_in_one_place(tmp_path: Path, digits_job: Job, digits_space: Space) -> None:
    folder = SweepFolder.create(tmp_path, "s", digits_job, digits_space)
    assert folder.place.local == folder.path == tmp_path / "s"
    storage = folder.storage("tune")
    assert storage["storage_filesystem"] is None
    assert Path(storage["storage_path"]).parent == tmp_path / "s" / "tune"
    assert folder.storage("tune") != storage, "Ray takes up what it finds under a name"


def test_of_a_bucket_the_driver_has_a_part_on_its_own_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one, other = (SweepFolder._of(Location.of(f"s3://{bucket}/results"), "s") for bucket in ("lab", "lab2"))
    assert str(one.place) == "s3://lab/results/s"
    assert one.path.is_relative_to(tmp_path / "trainyard")
    assert one.path.name == other.path.name == "s"
    assert one.path != other.path, "sweeps of one name in two places do not meet"


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "UPPER", "a" * 64, "a\nb", "a b"])
def test_a_name_can_not_leave_the_results(tmp_path: Path, digits_job: Job, name: str) -> None:
    for results in (tmp_path / "results", Location.of("s3://lab/results")):
        with pytest.raises(UsageError, match="--name must be 1 to 63 of a-z"):
            SweepFolder.create(results, name, digits_job, None)
        with pytest.raises(UsageError, match="--resume must be"):
            SweepFolder.resume(results, name)
    assert list(tmp_path.iterdir()) == []


def test_a_secret_in_the_results_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError) as told:
        results_at("s3://key:hush@lab/results")
    assert str(told.value).startswith("--results s3://***@lab/results: leave the secret out")
    assert "hush" not in str(told.value)


def test_code_that_has_moved_is_taken_from_where_it_is_now(tmp_path: Path, digits_job: Job) -> None:
    SweepFolder.create(tmp_path, "s", digits_job, None)
    folder = SweepFolder.resume(tmp_path, "s")
    assert folder.job().directory == digits_job.directory.resolve()
    assert folder.job(tmp_path).directory == tmp_path


def test_a_removed_sweep_leaves_nothing(tmp_path: Path, digits_job: Job) -> None:
    folder = SweepFolder.create(tmp_path, "s", digits_job, None)
    folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_of_two_who_reserve_one_name_in_a_bucket_the_second_changes_nothing(
    tmp_path: Path, digits_job: Job, digits_space: Space
) -> None:
    bucket = Location.of(tmp_path / "bucket" / "s")
    one, other = (SweepFolder(path=tmp_path / name / "s", bucket=bucket) for name in "ab")
    one.fill(digits_job, digits_space)
    with pytest.raises(UsageError, match="bucket/s: the name s is taken"):
        other.fill(digits_job, None)
    assert sorted(found.path for found in bucket.walk()) == ["job.yaml", "origin.json", "space.yaml"]


def test_what_is_left_here_of_a_sweep_that_is_gone_from_its_bucket_is_not_taken_up(
    tmp_path: Path, digits_job: Job
) -> None:
    folder = SweepFolder(path=tmp_path / "s", bucket=Location.of(tmp_path / "bucket" / "s"))
    folder.path.mkdir()
    for name in ("journal.jsonl", "driver.lock"):
        (folder.path / name).touch()
    (folder.path / "trials").mkdir()
    folder.fill(digits_job, None)
    assert sorted(path.name for path in folder.path.iterdir()) == ["driver.lock", "job.yaml", "origin.json"]


def test_only_the_best_trials_keep_their_states(tmp_path: Path) -> None:
    trials = {number: TrialFolder(tmp_path, number) for number in range(4)}
    for trial in trials.values():
        for place in (trial.last, trial.best, trial.bests):
            place.write_bytes(b"state")
    (Path(trials[1].best.path).parent / ".best.pt.partial-12345678").write_bytes(b"of a process that was killed")
    (trials[2].pictures / "00001.png").write_bytes(b"picture")
    tidying = Tidying(Location.of(tmp_path))

    tidying.ended([0, 1], [0])
    tidying.ended([2], [2])
    tidying.close()

    left = sorted(str(path.relative_to(tmp_path / "trials")) for path in tmp_path.rglob("*") if path.is_file())
    assert left == [
        "00002/best.pt",
        "00002/pictures/00001.png",
        *[f"00003/{name}" for name in ("best.pt", "bests.json", "last.pt")],
    ]
    assert not (tmp_path / "trials" / "00001").exists()
