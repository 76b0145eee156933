"""From a bucket to a bucket, through pyarrow's own S3 client and a server on loopback."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from trainyard.data.dataset import Dataset
from trainyard.data.formats import open_source
from trainyard.data.importing.run import import_source
from trainyard.data.importing.workers import in_process
from trainyard.data.location import Found, Location
from trainyard.data.source import ImportOptions
from trainyard.errors import DataError, UsageError


def imported(source: Location, destination: Location, run: Callable[..., Any] = in_process) -> Any:
    return import_source(
        open_source("image_folder", source, ImportOptions()), destination, format_name="image_folder", run=run
    )


@pytest.fixture(scope="module")
def photos(bucket: Location, encode: Callable[..., bytes]) -> Location:
    """Twenty images of two classes."""
    for number in range(20):
        name = f"photos/{('cat', 'dog')[number % 2]}/#{number} ü.png"
        (bucket / name).write_bytes(encode(np.full((4, 6), number, np.uint8)))
    return bucket / "photos"


def test_an_import_from_a_bucket_to_a_bucket(photos: Location, bucket: Location) -> None:
    manifest = imported(photos, bucket / "out")
    dataset = Dataset.open(str(bucket / "out").replace("***", "key:secret"))
    assert dataset.manifest == manifest
    assert {name: split.rows for name, split in manifest.splits.items()} == {"train": 16, "val": 2, "test": 2}
    dataset.check_content("train")
    [group] = dataset.groups("val")
    names = dataset.read_group(group, ["name"])["name"].to_pylist()
    assert all(name.endswith(" ü.png") for name in names)
    assert [file.path for file in (bucket / "out").walk()] == [
        "manifest.json",
        "report.json",
        *(f"{split}-00000.parquet" for split in ("test", "train", "val")),
    ]


def test_the_fingerprint_is_that_of_the_same_files_on_a_disk(photos: Location, bucket: Location, tmp_path: Any) -> None:
    for file in photos.walk():
        (Location.of(tmp_path / "photos") / file.path).write_bytes((photos / file.path).read_bytes())
    local = imported(Location.of(tmp_path / "photos"), Location.of(tmp_path / "out"))
    assert imported(photos, bucket / "twin").fingerprint == local.fingerprint


def test_an_interrupted_import_into_a_bucket_goes_on(photos: Location, bucket: Location) -> None:
    def interrupted(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        yield function(items[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imported(photos, bucket / "late", interrupted)
    with pytest.raises(DataError, match=r"late.* is half-written"):
        Dataset.open(bucket / "late")
    made: list[str] = []
    manifest = imported(photos, bucket / "late", lambda function, items: made.extend(items) or map(function, items))
    assert len(made) == 2
    assert manifest.splits["train"].rows == 16


def test_folders_and_files_of_a_bucket(bucket: Location) -> None:
    place = bucket / "tree"
    for name in ("a/b", "a/.hidden", "__MACOSX/x", "c"):
        (place / name).write_bytes(b"12")
    assert place.walk() == [Found(path="a/b", size=2), Found(path="c", size=2)]
    assert (place.folders(), place.exists(), place.is_directory()) == (["a"], True, True)
    assert ((place / "c").is_directory(), (place / "d").exists()) == (False, False)
    with (place / "c").open_input() as file:
        assert file.read() == b"12"
    place.delete()
    assert not place.exists()


def test_a_missing_object_and_a_missing_bucket(bucket: Location) -> None:
    with pytest.raises(FileNotFoundError):
        (bucket / "nothing").read_bytes()
    elsewhere = Location.of(f"s3://key:secret@other/a?{bucket.settings}")
    with pytest.raises(DataError, match=r"can't reach s3://\*\*\*@other/a\?.*NO_SUCH_BUCKET.*does not exist\.$"):
        elsewhere.write_bytes(b"")


def test_a_setting_that_does_not_exist() -> None:
    with pytest.raises(UsageError, match=r"can't use s3://\*\*\*@other\?colour=red: Unexpected query parameter"):
        Location.of("s3://key:secret@other?colour=red").exists()
