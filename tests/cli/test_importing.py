"""What an import on a cluster can read."""

from pathlib import Path

import pytest

from trainyard.cli.importing import check_readable
from trainyard.data.location import Location
from trainyard.errors import UsageError


def test_an_archive_is_not_there_for_the_other_nodes_of_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"photos.zip is an archive, .*Unpack it on shared storage and name the folder"
    ):
        check_readable(Location.of(tmp_path / "photos.zip"), 2)


def test_an_archive_on_a_cluster_of_one_node_and_a_folder_on_any(tmp_path: Path) -> None:
    check_readable(Location.of(tmp_path / "photos.zip"), 1)
    (tmp_path / "folder.zip").mkdir()
    for name in ("folder.zip", "photos"):
        check_readable(Location.of(tmp_path / name), 2)
