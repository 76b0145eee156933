"""Archives are unpacked where they can do no harm, and what was unpacked goes away."""

import io
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from trainyard.data.importing.archive import unpacked
from trainyard.data.location import Location
from trainyard.errors import DataError

NAMES = ("cat/1.png", "cat/2.png", "dog/1.png")


def make_zip(path: Path, names: Iterable[str] = NAMES) -> Location:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return Location.of(path)


def make_tar(path: Path, names: Iterable[str] = NAMES, mode: str = "w", *more: tarfile.TarInfo) -> Location:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
        for member in more:
            archive.addfile(member)
    return Location.of(path)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def contents(place: Location) -> dict[str, str]:
    with unpacked(place) as folder:
        return {file.path: (folder / file.path).read_bytes().decode() for file in folder.walk()}


def problem_of(place: Location) -> str:
    with pytest.raises(DataError) as error, unpacked(place):
        pass
    return str(error.value)


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".TAR.XZ"])
def test_all_files_of_an_archive_are_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photos{suffix}"
    mode = {"gz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}.get(suffix.lower().replace("tgz", "gz").rpartition(".")[2], "w")
    place = make_zip(path) if suffix == ".zip" else make_tar(path, mode=mode)
    assert contents(place) == {name: name for name in NAMES}


def test_what_was_unpacked_goes_away(tmp_path: Path) -> None:
    with unpacked(make_zip(tmp_path / "photos.zip")) as folder:
        assert folder.local is not None
        assert folder.local.is_dir()
        assert str(folder / "cat") == f"{tmp_path}/photos.zip/cat"
    assert not folder.local.exists()


def test_a_folder_is_left_as_it_is(tmp_path: Path) -> None:
    with unpacked(Location.of(tmp_path)) as folder:
        assert folder == Location.of(tmp_path)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["photos/cat/1.png", "photos/dog/1.png"], {"cat/1.png", "dog/1.png"}),
        (["photos/v2/cat/1.png", "__MACOSX/._photos"], {"cat/1.png"}),
        (["train/cat/1.png", "train/dog/1.png"], {"train/cat/1.png", "train/dog/1.png"}),
        (["photos/cat/1.png", "README"], {"photos/cat/1.png", "README"}),
    ],
    ids=["around all", "twice", "a split", "beside a file"],
)
def test_a_folder_around_everything_is_entered(tmp_path: Path, names: list[str], expected: set[str]) -> None:
    assert {path.removeprefix("photos/v2/") for path in contents(make_zip(tmp_path / "a.zip", names))} == expected


@pytest.mark.parametrize("name", ["../evil.png", "/tmp/evil.png", "a/../../evil.png", "..\\evil.png"])
def test_a_name_that_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    for place in (make_zip(tmp_path / "a.zip", [name]), make_tar(tmp_path / "a.tar", [name])):
        assert "outside" in problem_of(place)
    assert not list(tmp_path.rglob("evil.png"))


def test_links_within_an_archive_become_copies(tmp_path: Path) -> None:
    links = [link("dog/2.png", "../cat/1.png"), link("dog/3.png", "cat/2.png", tarfile.LNKTYPE)]
    found = contents(make_tar(tmp_path / "a.tar", NAMES, "w", *links))
    assert (found["dog/2.png"], found["dog/3.png"]) == ("cat/1.png", "cat/2.png")


def test_links_out_of_an_archive_lead_nowhere(tmp_path: Path) -> None:
    out = [link("dog/2.png", "/etc/passwd"), link("up", "../.."), link("dog/3.png", "/etc/passwd", tarfile.LNKTYPE)]
    assert set(contents(make_tar(tmp_path / "a.tar", NAMES, "w", *out))) == set(NAMES)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar"])
def test_a_damaged_archive(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"<html>not found</html>")
    assert f"{tmp_path / name} can't be unpacked: " in problem_of(Location.of(tmp_path / name))


def test_a_truncated_archive(tmp_path: Path) -> None:
    place = make_tar(tmp_path / "a.tar.gz", mode="w:gz")
    assert place.local
    place.local.write_bytes(place.local.read_bytes()[:-30])
    assert "can't be unpacked" in problem_of(place)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_an_archive_whose_checksum_is_wrong(tmp_path: Path, kind: str) -> None:
    """In its last bytes, after all of its members."""
    place = make_tar(tmp_path / f"a.tar.{kind}", mode=f"w:{kind}")
    assert place.local
    content = bytearray(place.local.read_bytes())
    content[-6 if kind == "gz" else -3] ^= 255
    place.local.write_bytes(content)
    assert "can't be unpacked: " in problem_of(place)


def test_a_header_that_is_damaged_is_not_the_end(tmp_path: Path) -> None:
    place = make_tar(tmp_path / "a.tar")
    assert place.local
    content = bytearray(place.local.read_bytes())
    content[2 * 512 + 3] ^= 255
    place.local.write_bytes(content)
    assert "the header at byte 1,024 is damaged" in problem_of(place)


def test_a_zip_with_backslashes_between_folders(tmp_path: Path) -> None:
    place = make_zip(tmp_path / "a.zip", [name.replace("/", "\\") for name in NAMES])
    assert set(contents(place)) == set(NAMES)


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_unpacked_again_its_files_have_not_changed(tmp_path: Path, name: str) -> None:
    place = make_zip(tmp_path / name) if name == "a.zip" else make_tar(tmp_path / name)
    with unpacked(place) as folder:
        assert {file.changed for file in folder.walk()} == {place.changed()}


def test_what_a_killed_import_unpacked_goes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    stale, foreign = (tmp_path / "temporary" / f"trainyard-import-{name}" for name in ("stale", "foreign"))
    for folder in (stale, foreign):
        folder.mkdir(parents=True)
    (stale / "lock").touch()
    place = make_zip(tmp_path / "a.zip")
    with unpacked(place) as first, unpacked(place):
        assert first.is_directory()
        assert not stale.exists()
    assert list((tmp_path / "temporary").iterdir()) == [foreign]


def test_a_missing_archive(tmp_path: Path) -> None:
    assert "a.zip does not exist" in problem_of(Location.of(tmp_path / "a.zip"))


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_an_archive_that_the_disk_cannot_hold(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainyard.data.importing.archive.SPARE_BYTES", 1 << 60)
    place = make_zip(tmp_path / name) if name == "a.zip" else make_tar(tmp_path / name)
    assert f"{name} holds more than the disk" in problem_of(place)
