import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainyard.tracking.events import (
    Best,
    Event,
    SweepEnded,
    SweepPictures,
    SweepStarted,
    TrialEnded,
    TrialEpoch,
    TrialFinding,
    TrialNote,
    TrialPictures,
    TrialStarted,
    from_json,
    to_json,
)

EVENTS: list[Event] = [
    SweepStarted(
        name="s",
        job={"optimizer": {"lr": 1e-3}},
        space={"search": {"trials": 3}},
        objectives=(("val/accuracy", "max"), ("val/loss", "min")),
        tags={"trainyard.data": "abc"},
        environment="python 3.11\n",
    ),
    TrialStarted(trial=3, values={"optimizer.lr": 1e-3, "model.channels": [8, 16], "training.clip_grad_norm": None}),
    TrialEpoch(trial=3, epoch=1, metrics={"val/accuracy": 0.5}),
    TrialNote(trial=3, tags={"trainyard.slot": "2"}),
    TrialFinding(trial=3, finding="dead", layer="features.0", reason="its gradient is exactly zero"),
    TrialPictures(trial=3, epoch=1, files=["trials/00003/pictures/00012.png"], trouble="00013.png can't be written"),
    TrialEnded(trial=3, state="pruned", reason="rung 1", best=[Best(metric="val/accuracy", value=0.5, epoch=1)]),
    SweepPictures(files=["pictures/00012.png"]),
    SweepEnded(state="interrupted", reason="Ctrl-C"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_is_read_back_equal(event: Event) -> None:
    assert from_json(to_json(event)) == event


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_is_one_line_of_ascii(event: Event) -> None:
    line = to_json(event)
    assert "\n" not in line
    assert line.isascii()


def test_infinities_and_nan_survive() -> None:
    event = from_json(to_json(TrialEpoch(trial=0, epoch=1, metrics={"a": math.nan, "b": math.inf, "c": -math.inf})))
    assert isinstance(event, TrialEpoch)
    assert math.isnan(event.metrics["a"])
    assert event.metrics["b"] == math.inf
    assert event.metrics["c"] == -math.inf


def test_numbers_of_numpy_become_plain_ones() -> None:
    metrics: dict[str, Any] = {"a": np.float32(0.5), "b": np.int64(3)}
    event = TrialEpoch(trial=2, epoch=1, metrics=metrics)
    assert json.loads(to_json(event))["metrics"] == {"a": 0.5, "b": 3}


def test_a_path_among_the_values_becomes_text() -> None:
    assert from_json(
        to_json(TrialStarted(trial=0, values={"data.path": Path("data/digits")}, time=1.0))
    ) == TrialStarted(trial=0, values={"data.path": "data/digits"}, time=1.0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "property name"),
        ("[1]", "an event is a mapping, not list"),
        ('{"event":"trial_teleported"}', "no such event; a newer trainyard may have written it"),
        ('{"event":"trial_epoch","trial":1}', "epoch"),
        ('{"event":"sweep_ended","state":"finished","mood":"good"}', "mood"),
    ],
)
def test_a_line_that_is_no_event_says_why(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_json(line)
