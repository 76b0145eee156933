"""A real MLflow server on loopback, which is down when the sweep begins and comes up later."""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainyard.errors import UsageError
from trainyard.tracking.client import open_client
from trainyard.tracking.compare import read_sweep, sweep_exists
from trainyard.tracking.events import (
    Best,
    SweepEnded,
    SweepStarted,
    TrialEnded,
    TrialEpoch,
    TrialPictures,
    TrialStarted,
)
from trainyard.tracking.journal import Journal
from trainyard.tracking.recorder import Recorder
from trainyard.tracking.uri import check_reachable

from .servers import Server


@pytest.fixture
def server(store: str, tmp_path: Path) -> Iterator[Server]:
    server = Server(store, tmp_path)
    yield server
    server.kill()


def test_a_server_that_comes_up_later_gets_everything(server: Server, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No MLflow server answers"):
        check_reachable(server.uri)
    with Journal(folder / "journal.jsonl") as journal:
        recorder = Recorder(journal, server.uri, "digits", grace=0.0)
        recorder.start()
        recorder.send(SweepStarted(name="s", job={"name": "j"}, objectives=[("loss", "min")]))
        values = {f"model.layer{index}.width": index for index in range(300)}
        for trial in range(3):
            metrics = {
                "loss": [0.5, math.nan, math.inf][trial],
                **{f"class/{index}": index / 7 for index in range(1500)},
            }
            recorder.send(TrialStarted(trial=trial, values=values))
            recorder.send(TrialEpoch(trial=trial, epoch=1, metrics=metrics))
            (folder / "pictures").mkdir(exist_ok=True)
            (folder / "pictures" / f"{trial}.png").write_bytes(b"\x89PNG")
            recorder.send(TrialPictures(trial=trial, epoch=1, files=[f"pictures/{trial}.png"]))
            best = [Best(metric="loss", value=metrics["loss"], epoch=1)]
            recorder.send(TrialEnded(trial=trial, state="finished", best=best))
        recorder.send(SweepEnded(state="finished"))
        end = time.monotonic() + 20
        while not recorder.trouble and time.monotonic() < end:
            time.sleep(0.02)
        assert "Connection refused" in recorder.trouble
        server.start()
        recorder.close(150)
    check_reachable(server.uri)
    assert sweep_exists(server.uri, "s")
    assert not sweep_exists(server.uri, "t")
    comparison = read_sweep(server.uri, "s")
    assert [row.trial for row in comparison.rows] == [0, 1, 2]
    assert comparison.states == {"finished": 3}
    losses = [row.objectives["loss"] for row in comparison.rows]
    assert losses[0] == 0.5
    assert math.isnan(losses[1] or 0)
    assert losses[2] == math.inf
    assert len(comparison.rows[0].values) == 300
    assert comparison.rows[0].epochs == 1
    run = open_client(server.uri).get_run(comparison.rows[2].run_id)
    assert run.info.status == "FINISHED"
    assert len(run.data.metrics) == 1503
    assert [path.name for path in (tmp_path / "served").rglob("*.yaml")] == ["job.yaml"]
    served = sorted(path for path in (tmp_path / "served").rglob("*.png"))
    assert {(path.parent.name, path.read_bytes()) for path in served} == {("pictures", b"\x89PNG")}
    assert sorted(path.name for path in served) == ["0.png", "1.png", "2.png"]
