"""What MLflow has yet to be told, without MLflow."""

from trainyard.tracking.events import (
    Best,
    Event,
    SweepEnded,
    SweepStarted,
    TrialEnded,
    TrialEpoch,
    TrialFinding,
    TrialNote,
    TrialStarted,
)
from trainyard.tracking.outbox import SWEEP, Letter, Number, Outbox

JOB = {"name": "j", "optimizer": {"name": "adam", "lr": 0.001}, "model": {"channels": [8, 16]}}
SWEEP_START = SweepStarted(name="s", job=JOB, objectives=[("loss", "min")], sweep_id="id", time=10.0)


def start(trial: int) -> TrialStarted:
    return TrialStarted(trial=trial, values={"optimizer.lr": 0.1}, time=11.0)


def epoch(trial: int, number: int, time: float = 12.0) -> TrialEpoch:
    return TrialEpoch(trial=trial, epoch=number, metrics={"loss": 1 / number}, time=time)


def end(trial: int) -> TrialEnded:
    return TrialEnded(
        trial=trial, state="pruned", reason="rung", best=[Best(metric="loss", value=0.5, epoch=2)], time=13.0
    )


def outbox(*events: Event, now: float = 0.0, standalone: bool = False) -> Outbox:
    box = Outbox(standalone=standalone)
    for event in events:
        box.add(event, now)
    return box


def letter(box: Outbox, key: int) -> Letter:
    return next(item for item in box.due(1e9, hold=0) if item.key == key)


def empty(box: Outbox) -> None:
    for item in box.due(1e9, hold=0):
        box.remove(item)


def test_a_trial_becomes_one_letter() -> None:
    mail = letter(outbox(SWEEP_START, start(0), epoch(0, 1), epoch(0, 2), end(0)), 0)
    assert mail.params == {"name": "j", "optimizer.name": "adam", "optimizer.lr": 0.1, "model.channels": [8, 16]}
    assert mail.numbers == [
        Number("loss", 1.0, 1, 12.0),
        Number("loss", 0.5, 2, 12.0),
        Number("best/loss", 0.5, 2, 13.0),
        Number("best/epoch", 2, 2, 13.0),
    ]
    assert mail.tags == {
        "trainyard.sampled": "optimizer.lr",
        "trainyard.state": "pruned",
        "trainyard.reason": "rung",
        "trainyard.epochs": "2",
    }
    assert (mail.began, mail.ended) == (11.0, 13.0)


def test_settings_of_the_trial_itself_replace_the_jobs() -> None:
    settings = {"optimizer.name": "sgd", "optimizer.momentum": 0.9}
    mail = letter(outbox(SWEEP_START, TrialStarted(trial=0, values={"optimizer.name": "sgd"}, settings=settings)), 0)
    assert mail.params == settings


def test_a_running_trial_waits_and_an_ended_one_does_not() -> None:
    box = outbox(SWEEP_START, start(0), epoch(0, 1), start(1), end(1), now=100.0)
    assert [item.key for item in box.due(101.0, hold=2.0)] == [1]
    assert [item.key for item in box.due(102.0, hold=2.0)] == [SWEEP, 0, 1]


def test_the_end_of_the_sweep_comes_last() -> None:
    box = outbox(SWEEP_START, start(0), end(0), SweepEnded(state="finished"))
    assert [item.key for item in box.due(0.0, hold=2.0)] == [0, SWEEP]


def test_an_epoch_that_comes_again_is_dropped() -> None:
    box = outbox(SWEEP_START, start(0), epoch(0, 1), epoch(0, 2))
    empty(box)
    for event in (start(0), epoch(0, 2, time=99.0), epoch(0, 3)):
        box.add(event, 0.0)
    assert letter(box, 0).numbers == [Number("loss", 1 / 3, 3, 12.0)]


def test_what_has_not_ended_is_interrupted_with_the_sweep() -> None:
    box = outbox(SWEEP_START, start(0), end(0), start(1), SweepEnded(state="interrupted", reason="Ctrl-C", time=20.0))
    assert [letter(box, key).state for key in (0, 1, SWEEP)] == ["pruned", "interrupted", "interrupted"]
    assert letter(box, 1).ended == 20.0
    assert letter(box, 1).tags["trainyard.reason"] == "Ctrl-C"


def test_an_interrupted_trial_goes_on() -> None:
    box = outbox(SWEEP_START, start(0), epoch(0, 1), SweepEnded(state="interrupted", reason="Ctrl-C"))
    empty(box)
    for event in (SWEEP_START, start(0)):
        box.add(event, 0.0)
    for key in (SWEEP, 0):
        mail = letter(box, key)
        assert mail.goes_on
        assert mail.ended is None
        assert mail.tags["trainyard.state"] == "running"
        assert mail.tags["trainyard.reason"] == ""


def test_going_on_is_not_said_of_a_trial_that_ended_since() -> None:
    box = outbox(SWEEP_START, start(0), SweepEnded(state="interrupted"), SWEEP_START, start(0), end(0))
    assert not letter(box, 0).goes_on
    assert letter(box, 0).state == "pruned"


def test_a_note_after_the_end_is_kept_in_mind() -> None:
    box = outbox(SWEEP_START, start(0), end(0), TrialNote(trial=0, tags={"trainyard.model": "best", "n": 3}))
    assert letter(box, 0).noted_late
    assert letter(box, 0).tags["trainyard.model"] == "best"
    assert letter(box, 0).tags["n"] == "3"


def test_a_finding_is_a_tag_with_the_layer_and_the_reason() -> None:
    dead = TrialFinding(trial=0, finding="dead", layer="conv", reason="its gradient is exactly zero")
    tags = letter(outbox(SWEEP_START, start(0), dead), 0).tags
    assert tags["health/dead"] == "layer conv: its gradient is exactly zero"


def test_more_sampled_paths_than_a_tag_holds_are_not_listed() -> None:
    values = {f"model.layer{index}.width": 1 for index in range(1000)}
    assert "trainyard.sampled" not in letter(outbox(SWEEP_START, TrialStarted(trial=0, values=values)), 0).tags


def test_a_trial_alone_is_the_run_itself() -> None:
    box = outbox(SWEEP_START, start(0), epoch(0, 1), end(0), SweepEnded(state="finished"), standalone=True)
    (mail,) = box.due(0.0, hold=0)
    assert mail.key == SWEEP
    assert mail.state == "pruned"
    assert mail.params["optimizer.lr"] == 0.1
    assert box.identity(SWEEP) == {"trainyard.sweep_id": "id", "trainyard.kind": "trial", "trainyard.name": "s"}


def test_a_trial_alone_that_never_began_ends_with_its_reason() -> None:
    box = outbox(SWEEP_START, SweepEnded(state="failed", reason="no data"), standalone=True)
    (mail,) = box.due(0.0, hold=0)
    assert mail.state == "failed"
    assert mail.tags["trainyard.reason"] == "no data"


def test_the_specs_and_the_environment_become_files() -> None:
    event = SweepStarted(
        name="s", job=JOB, space={"parameters": {"optimizer.lr": {"low": 1e-5}}}, environment="python\n"
    )
    files = letter(outbox(event), SWEEP).files
    assert files["job.yaml"].startswith("name: j\noptimizer:\n  name: adam\n  lr: 0.001\n")
    assert "low: 1e-05" in files["space.yaml"]
    assert files["environment.txt"] == "python\n"


def test_runs_are_found_again_by_their_tags() -> None:
    box = outbox(SWEEP_START)
    assert box.identity(7) == {
        "trainyard.sweep_id": "id",
        "trainyard.sweep": "s",
        "trainyard.kind": "trial",
        "trainyard.trial": "7",
    }
    assert box.identity(SWEEP)["trainyard.kind"] == "sweep"
