"""Places on a local disk, and what URIs mean."""

import os
import pickle
from pathlib import Path

import pytest

from trainyard.data.location import Found, Location
from trainyard.errors import UsageError


def test_a_path_is_shown_as_it_was_written_and_means_the_same_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = Location.of("data/photos") / "a.png"
    monkeypatch.chdir("/")
    again = pickle.loads(pickle.dumps(place))
    assert str(again) == "data/photos/a.png"
    assert again.local == tmp_path / "data" / "photos" / "a.png"


@pytest.mark.parametrize("text", ["/data/a b", Path("/data/a b"), "file:///data/a%20b", "/data/./a b/"])
def test_ways_to_write_a_path(text: str | Path) -> None:
    assert Location.of(text) == Location.of("/data/a b")


def test_a_key_in_a_bucket_is_taken_as_it_stands() -> None:
    place = Location.of("s3://bucket/a b/100%#1/?region=eu-central-1")
    assert (place.path, place.settings) == ("bucket/a b/100%#1", "region=eu-central-1")
    assert str(place / "x") == "s3://bucket/a b/100%#1/x?region=eu-central-1"
    assert place.local is None


def test_secrets_are_not_shown() -> None:
    place = Location.of("s3://key:secret@bucket/a")
    assert str(place) == "s3://***@bucket/a"
    assert "secret" not in repr(place)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://host/a", "unknown kind of place ftp://. Known are paths and s3://, gs://, file://"),
        ("s3:///a", "no bucket in s3://"),
        ("s3://key:sec/ret@bucket/a", "Write / in a secret key as %2F"),
        ("", "a path is missing"),
    ],
    ids=["scheme", "bucket", "secret", "empty"],
)
def test_what_is_no_place(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        Location.of(text)
    assert message in str(error.value)
    assert "ret@" not in str(error.value)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b/2", "b/1", "a", ".git/x", "b/.DS_Store", "__MACOSX/y"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_a_walk_is_sorted_and_leaves_out_what_is_hidden(tree: Path) -> None:
    assert Location.of(tree).walk() == [Found(path="a", size=1), Found(path="b/1", size=3), Found(path="b/2", size=3)]
    assert Location.of(tree).folders() == ["b"]


def test_links_are_followed_but_not_in_circles(tree: Path) -> None:
    (tree / "b" / "up").symlink_to(tree)
    (tree / "c").symlink_to(tree / "b")
    assert [file.path for file in Location.of(tree).walk()] == ["a", "b/1", "b/2", "c/1", "c/2"]


def test_links_that_lead_nowhere_are_listed(tree: Path) -> None:
    (tree / "gone").symlink_to(tree / "nothing")
    (tree / "round").symlink_to(tree / "round")
    found = {file.path: file.size for file in Location.of(tree).walk()}
    assert (found["gone"], found["round"]) == (0, 0)


def test_a_walk_says_when_files_changed(tree: Path) -> None:
    os.utime(tree / "a", ns=(0, 1_234_567_891))
    assert Location.of(tree).walk()[0].changed == Location.of(tree / "a").changed() == 1_234_567_891


def test_a_file_is_written_whole_or_not_at_all(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Location.of(tree / "new" / "file")
    place.write_bytes(b"one")
    monkeypatch.setattr(Path, "replace", _refused)
    with pytest.raises(OSError, match="refused"):
        place.write_bytes(b"two")
    assert place.read_bytes() == b"one"
    assert os.listdir(tree / "new") == ["file"]


def _refused(*_: object) -> None:
    raise OSError("refused")


def test_deleting_files_folders_and_nothing(tree: Path) -> None:
    for name in ("a", "b", "nothing"):
        (Location.of(tree) / name).delete()
    assert Location.of(tree).walk() == []
