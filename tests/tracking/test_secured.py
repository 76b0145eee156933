"""MLflow is told only what outlives the machine, and takes pictures from wherever they are."""

import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from trainyard.data.location import Location
from trainyard.errors import DataError, UsageError
from trainyard.tracking.events import SweepEnded, SweepStarted, TrialEnded, TrialEpoch, TrialPictures, TrialStarted
from trainyard.tracking.journal import Journal
from trainyard.tracking.recorder import Recorder
from trainyard.tracking.uri import tracking_uri

SWEEP = SweepStarted(name="s", job={"name": "j"}, objectives=[("val/accuracy", "max")], sweep_id="1234")


class Place:
    """Where a journal is secured. It holds what it was when it last took something."""

    def __init__(self, journal: Path) -> None:
        self.takes = threading.Event()
        self.lines = 0
        self._journal = journal

    def secure(self) -> None:
        if not self.takes.is_set():
            raise DataError("can't reach s3://lab/results.")
        self.lines = self._journal.read_bytes().count(b"\n")


def test_nothing_is_told_that_is_not_safe(
    store: str, folder: Path, recorded: Any, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(folder / "journal.jsonl")
    with Journal(folder / "journal.jsonl", secure=place.secure) as journal:
        recorder = Recorder(journal, store, "test", grace=0.0)
        recorder.start()
        with caplog.at_level(logging.WARNING, logger="trainyard"):
            for event in (SWEEP, TrialStarted(trial=0), TrialEpoch(trial=0, epoch=1, metrics={"val/accuracy": 0.5})):
                recorder.send(event)
            until = time.monotonic() + 20
            while not recorder.trouble and time.monotonic() < until:
                time.sleep(0.05)
        assert recorder.trouble.endswith("can't reach s3://lab/results.")
        assert recorded() == {}

        place.takes.set()
        recorder.send(SweepEnded(state="finished"))
        recorder.close(30)

    assert recorded()["trial-0"].history["val/accuracy"] == [(1, 0.5)]
    assert place.lines == 4, "all was safe before the last was told"


def test_pictures_come_from_where_they_are(store: str, folder: Path, recorded: Any, tmp_path: Path) -> None:
    elsewhere = Location.of(tmp_path / "elsewhere")
    (elsewhere / "trials/00000/pictures/00002.png").write_bytes(b"a picture")
    with Journal(folder / "journal.jsonl") as journal:
        recorder = Recorder(journal, store, "test", grace=0.0, pictures=elsewhere)
        recorder.start()
        for event in (
            SWEEP,
            TrialStarted(trial=0),
            TrialPictures(trial=0, epoch=1, files=["trials/00000/pictures/00002.png"]),
            TrialEnded(trial=0, state="finished"),
            SweepEnded(state="finished"),
        ):
            recorder.send(event)
        recorder.close(30)
    assert recorded()["trial-0"].tags["trainyard.pictures"] == "1"


def test_results_in_a_bucket_need_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UsageError, match=r"^s3://lab/results: a bucket can't hold MLflow's database\. Name a server"):
        tracking_uri(Location.of("s3://lab/results"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://head:5000")
    assert tracking_uri(Location.of("s3://lab/results")) == "http://head:5000"
