"""Pictures that are missing, as a run tells of them: in one line."""

import io
from typing import Any

from trainyard.cli.lines import EpochLines, PlainLines
from trainyard.cli.progress import Progress
from trainyard.tracking.events import Event, TrialPictures, TrialStarted

from .conftest import OBJECTIVES, sweep_started

MISSING = TrialPictures(trial=0, epoch=3, trouble="x/00001.png can't be written:\nNo space left on device")
THERE = TrialPictures(trial=0, epoch=3, files=["pictures/00001.png"])


def lines_of(kind: Any, *told: Event, **options: Any) -> list[str]:
    stream = io.StringIO()
    with kind(Progress("sweep", OBJECTIVES), stream, **options) as lines:
        for event in [sweep_started(), TrialStarted(trial=0), *told]:
            lines.take(event)
    return stream.getvalue().splitlines()


def test_a_sweep_in_a_pipe_has_a_line_for_them() -> None:
    assert lines_of(PlainLines, THERE) == []
    assert lines_of(PlainLines, MISSING) == [
        "trial 0 pictures of epoch 3 are missing: x/00001.png can't be written: No space left on device"
    ]


def test_a_training_has_a_line_for_them() -> None:
    assert lines_of(EpochLines, MISSING, epochs=1)[1:] == [
        "pictures of epoch 3 are missing: x/00001.png can't be written: No space left on device"
    ]
