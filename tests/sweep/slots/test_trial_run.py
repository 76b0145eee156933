"""What a slot reports of a trial, whatever is lost in between. The workers are a small real trainer of nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from trainyard.data.location import Location
from trainyard.errors import Diverged, RunError, TrialError
from trainyard.spec.job import Job
from trainyard.sweep.results.checkpoints import TrialFolder, keep_only
from trainyard.sweep.slots.assignment import Assignment, EpochDone, Started
from trainyard.sweep.slots.trial_run import LOSS_LIMIT, Result, TrialRun
from trainyard.sweep.slots.workers import CrewLost, NoWorkers

EPOCHS = 4


class CountingWorkers:
    """Trains a trial whose accuracy is its epoch: 1, 2, 3, ...

    events: what happens at the so-maniest epoch that is trained, over all trials: an exception to raise.
    """

    def __init__(self, events: dict[int, Exception] | None = None) -> None:
        self.events = events or {}
        self.trained: list[int] = []
        self.history: list[dict[str, float]] = []
        self.cramped = False
        self.left = 0

    def leave(self) -> None:
        self.history, self.cramped = [], False
        self.left += 1

    def start(self, values: dict[str, Any], state: bytes | None = None) -> Started:
        if "start" in values:
            raise values["start"]
        if state == b"damaged":
            raise TrialError("the state of a trial is damaged")
        self.history = [] if state is None else json.loads(state)
        return Started(history=tuple(self.history), live={"optimizer.lr": 0.1}, done=self._done())

    def epoch(self) -> EpochDone:
        self.trained.append(len(self.history) + 1)
        if (error := self.events.get(len(self.trained))) is not None:
            raise error
        self.history.append({"val/accuracy": float(len(self.history) + 1)})
        return EpochDone(metrics=self.history[-1], done=self._done())

    def state(self) -> bytes:
        return json.dumps(self.history).encode()

    def save(self, place: Location) -> None:
        place.write_bytes(self.state())

    def stop(self) -> None:
        self.history = []

    def _done(self) -> str | None:
        return "all epochs" if len(self.history) == EPOCHS else None


@pytest.fixture
def folder(tmp_path: Path) -> TrialFolder:
    return TrialFolder(tmp_path, 7)


def begin(
    digits_job: Job,
    folder: TrialFolder,
    workers: CountingWorkers,
    *,
    reported: int = 0,
    saves: bool = True,
    **values: Any,
) -> TrialRun:
    """A run that saves after every epoch, or never."""
    ticks = iter(range(0, 10**6, 1000 if saves else 0)) if saves else iter(lambda: 0, 1)
    assignment = Assignment(trial=7, values=values, reported=reported)
    return TrialRun(assignment, digits_job, workers, folder, clock=lambda: float(next(ticks)))


def all_results(run: TrialRun) -> list[Result]:
    results = [run.next_result()]
    while not results[-1].done:
        results.append(run.next_result())
    return results


def test_every_epoch_is_a_result_and_the_last_is_the_end(digits_job: Job, folder: TrialFolder) -> None:
    results = all_results(begin(digits_job, folder, CountingWorkers()))
    assert [result.epoch for result in results] == [1, 2, 3, 4]
    assert [result.state for result in results] == ["running", "running", "running", "finished"]
    assert results[-1].reason == "all epochs"


def test_live_values_come_with_the_first_result_only(digits_job: Job, folder: TrialFolder) -> None:
    results = all_results(begin(digits_job, folder, CountingWorkers()))
    assert [result.live for result in results] == [{"optimizer.lr": 0.1}, {}, {}, {}]


def test_epochs_heard_of_before_a_loss_are_trained_again_in_silence(digits_job: Job, folder: TrialFolder) -> None:
    workers = CountingWorkers()
    run = begin(digits_job, folder, workers, reported=3)
    assert [result.epoch for result in all_results(run)] == [4]
    assert workers.trained == [1, 2, 3, 4]


def test_epochs_in_the_checkpoint_that_were_never_heard_of_are_reported(digits_job: Job, folder: TrialFolder) -> None:
    folder.last.write_bytes(json.dumps([{"val/accuracy": 1.0}, {"val/accuracy": 2.0}, {"val/accuracy": 3.0}]).encode())
    workers = CountingWorkers()
    results = all_results(begin(digits_job, folder, workers, reported=1))
    assert [(result.epoch, result.metrics["val/accuracy"]) for result in results] == [(2, 2.0), (3, 3.0), (4, 4.0)]
    assert workers.trained == [4]


def test_a_trial_that_was_at_its_end_but_never_told_ends_without_training(digits_job: Job, folder: TrialFolder) -> None:
    folder.last.write_bytes(json.dumps([{"val/accuracy": float(epoch)} for epoch in (1, 2, 3, 4)]).encode())
    workers = CountingWorkers()
    results = all_results(begin(digits_job, folder, workers, reported=4))
    assert [(result.epoch, result.state, result.metrics) for result in results] == [(4, "finished", {})]
    assert workers.trained == []


def test_a_damaged_state_costs_its_epochs_and_not_the_trial(digits_job: Job, folder: TrialFolder) -> None:
    folder.last.write_bytes(b"damaged")
    workers = CountingWorkers()
    assert [result.epoch for result in all_results(begin(digits_job, folder, workers, reported=2))] == [3, 4]
    assert workers.trained == [1, 2, 3, 4]


def test_a_lost_crew_goes_on_from_the_last_checkpoint(digits_job: Job, folder: TrialFolder) -> None:
    workers = CountingWorkers({3: CrewLost("a worker of the crew died")})
    assert [result.epoch for result in all_results(begin(digits_job, folder, workers))] == [1, 2, 3, 4]
    assert workers.trained == [1, 2, 3, 3, 4]


def test_a_lost_crew_without_a_checkpoint_begins_anew_and_reports_nothing_twice(
    digits_job: Job, folder: TrialFolder
) -> None:
    workers = CountingWorkers({3: CrewLost("a worker of the crew died")})
    results = all_results(begin(digits_job, folder, workers, saves=False))
    assert [result.epoch for result in results] == [1, 2, 3, 4]
    assert workers.trained == [1, 2, 3, 1, 2, 3, 4]


def test_a_trial_that_kills_its_crew_again_and_again_fails(digits_job: Job, folder: TrialFolder) -> None:
    workers = CountingWorkers({count: CrewLost("a worker of the crew died") for count in range(3, 20)})
    results = all_results(begin(digits_job, folder, workers))
    assert [result.epoch for result in results] == [1, 2, 2]
    assert results[-1].state == "failed"
    assert results[-1].reason == f"lost its crew {LOSS_LIMIT} times: a worker of the crew died"


def test_epochs_trained_again_do_not_hide_that_a_trial_kills_its_crew(digits_job: Job, folder: TrialFolder) -> None:
    """Epoch 1 is fine and epoch 2 kills, each time; without checkpoints epoch 1 comes again in between."""
    workers = CountingWorkers({count: CrewLost("a worker of the crew died") for count in range(2, 40, 2)})
    results = all_results(begin(digits_job, folder, workers, saves=False))
    assert [(result.epoch, result.state) for result in results] == [(1, "running"), (1, "failed")]
    assert workers.trained == [1, 2] * LOSS_LIMIT


def test_a_crew_that_will_not_come_again_ends_the_sweep_and_not_the_trial(digits_job: Job, folder: TrialFolder) -> None:
    workers = CountingWorkers({1: CrewLost("the crew could not start: no timm", final=True)})
    (result,) = all_results(begin(digits_job, folder, workers))
    assert (result.state, result.epoch) == ("unfinished", 0)
    assert "no timm" in result.reason


@pytest.mark.parametrize(
    ("error", "state"), [(TrialError("out of memory"), "failed"), (Diverged("loss is nan"), "diverged")]
)
def test_what_a_trial_raises_is_its_last_result(
    digits_job: Job, folder: TrialFolder, error: TrialError, state: str
) -> None:
    results = all_results(begin(digits_job, folder, CountingWorkers({3: error})))
    assert [result.epoch for result in results] == [1, 2, 2]
    assert (results[-1].state, results[-1].reason, results[-1].metrics) == (state, error.reason, {})


def test_a_model_that_raises_when_it_is_built_is_a_failed_trial(digits_job: Job, folder: TrialFolder) -> None:
    run = begin(digits_job, folder, CountingWorkers(), start=TrialError("ValueError: no such layer (nets.py:3)"))
    assert run.next_result().reason == "ValueError: no such layer (nets.py:3)"


def test_once_the_end_is_recorded_the_state_to_go_on_from_goes_and_the_best_stays(
    digits_job: Job, folder: TrialFolder, tmp_path: Path
) -> None:
    all_results(begin(digits_job, folder, CountingWorkers()))
    assert folder.last_state() is not None
    assert keep_only(tmp_path, best=[7], ended=[7]) == {7}
    assert folder.last_state() is None
    assert len(json.loads(folder.best.read_bytes())) == EPOCHS
    assert keep_only(tmp_path, best=[], ended=[7]) == set()
    assert not folder.best.exists()


def test_a_state_that_tune_kept_brings_its_epochs_along(digits_job: Job, folder: TrialFolder) -> None:
    workers = CountingWorkers()
    run = begin(digits_job, folder, workers)
    run.restore(json.dumps([{"val/accuracy": 1.0}, {"val/accuracy": 2.0}]).encode())
    assert run.next_result().epoch == 3
    assert workers.trained == [3]


PAUSED = json.dumps([{"val/accuracy": 5.0}, {"val/accuracy": 6.0}]).encode()
"""The state of another trial, after two epochs."""


def test_epochs_since_a_state_that_tune_gives_again_are_not_trained_again(digits_job: Job, folder: TrialFolder) -> None:
    """A slot leaves its node, and Tune gives the next one what it kept at the last exchange."""
    run = begin(digits_job, folder, CountingWorkers(), saves=False)
    run.restore(PAUSED)
    assert run.next_result().epoch == 3
    run.move()
    workers = CountingWorkers()
    run = begin(digits_job, folder, workers, reported=3, saves=False)
    run.restore(PAUSED)
    assert run.next_result().epoch == 4
    assert workers.trained == [4]


def test_a_state_that_is_given_goes_before_a_checkpoint_that_does_not_descend_from_it(
    digits_job: Job, folder: TrialFolder
) -> None:
    run = begin(digits_job, folder, CountingWorkers())
    assert [run.next_result().epoch for _ in range(3)] == [1, 2, 3]
    workers = CountingWorkers()
    run = begin(digits_job, folder, workers, reported=3)
    run.restore(PAUSED)
    assert run.next_result().epoch == 4
    assert workers.trained == [3, 4]
    assert workers.history[:2] == json.loads(PAUSED)


def test_a_crew_that_is_lost_after_an_exchange_goes_on_from_the_state_that_was_taken_over(
    digits_job: Job, folder: TrialFolder
) -> None:
    begin(digits_job, folder, CountingWorkers()).next_result()
    workers = CountingWorkers(events={1: CrewLost("it died")})
    run = begin(digits_job, folder, workers, reported=2, saves=False)
    run.restore(PAUSED)
    assert run.next_result().epoch == 3
    assert workers.trained == [3, 3]
    assert workers.history[:2] == json.loads(PAUSED)


def test_a_crew_that_is_lost_while_it_takes_over_a_state_takes_it_over_again(
    digits_job: Job, folder: TrialFolder
) -> None:
    class Frail(CountingWorkers):
        losses = 1

        def start(self, values: dict[str, Any], state: bytes | None = None) -> Started:
            if state == PAUSED and self.losses:
                self.losses -= 1
                raise CrewLost("it died")
            return super().start(values, state)

    begin(digits_job, folder, CountingWorkers()).next_result()
    workers = Frail()
    run = begin(digits_job, folder, workers, reported=2)
    run.restore(PAUSED)
    assert run.next_result().epoch == 3
    assert workers.history[:2] == json.loads(PAUSED)


def test_a_disk_that_refuses_ends_the_sweep_and_not_the_trial(digits_job: Job, folder: TrialFolder) -> None:
    class FullDisk(CountingWorkers):
        def save(self, place: Location) -> None:
            raise RunError("No space left on device")

    results = all_results(begin(digits_job, folder, FullDisk()))
    assert [(result.epoch, result.state) for result in results] == [(1, "running"), (1, "unfinished")]
    assert results[-1].reason == "No space left on device"


def test_data_that_is_away_ends_the_sweep_and_not_the_trial_which_goes_on_once_it_is_back(
    digits_job: Job, folder: TrialFolder
) -> None:
    away = RunError("no trial can train: can't reach s3://lab/digits. Mend that; then resume.")
    results = all_results(begin(digits_job, folder, CountingWorkers({3: away})))
    assert [(result.epoch, result.state) for result in results] == [(1, "running"), (2, "running"), (2, "unfinished")]
    assert results[-1].reason == str(away)
    workers = CountingWorkers()
    assert [result.epoch for result in all_results(begin(digits_job, folder, workers, reported=2))] == [3, 4]
    assert workers.trained == [3, 4]


def test_a_state_that_cannot_be_read_either_hides_no_reason(digits_job: Job, folder: TrialFolder) -> None:
    """Tune asks for it, and takes what is raised then for the trial's doing."""

    class Away(CountingWorkers):
        def state(self) -> bytes:
            raise RunError("the bucket is away")

        def save(self, place: Location) -> None:
            Path(place.path).mkdir(parents=True)  # a file that can't be read

    run = begin(digits_job, folder, Away())
    run.next_result()
    assert run.state() == b""
    last = run.next_result()
    assert (last.state, last.reason) == ("unfinished", "the bucket is away")


def test_a_trial_that_moves_trains_no_epoch_again(digits_job: Job, folder: TrialFolder) -> None:
    workers = CountingWorkers()
    run = begin(digits_job, folder, workers, saves=False)
    results = [run.next_result(), run.next_result()]
    run.move()
    results += all_results(run)
    assert [result.epoch for result in results] == [1, 2, 3, 4]
    assert workers.trained == [1, 2, 3, 4]
    assert workers.left == 1


def test_a_trial_that_moves_has_its_state_on_disk_before_its_workers_leave(
    digits_job: Job, folder: TrialFolder
) -> None:
    run = begin(digits_job, folder, CountingWorkers(), saves=False)
    run.next_result()
    assert folder.last_state() is None
    run.move()
    assert json.loads(folder.last_state() or b"") == [{"val/accuracy": 1.0}]


def test_a_trial_whose_state_cannot_be_saved_has_not_moved_and_says_why(digits_job: Job, folder: TrialFolder) -> None:
    class FillingDisk(CountingWorkers):
        def save(self, place: Location) -> None:
            if place == folder.last:
                raise RunError("No space left on device")

    run = begin(digits_job, folder, FillingDisk(), saves=False)
    run.next_result()
    run.move()
    assert not run.moved
    last = run.next_result()
    assert (last.state, last.reason) == ("unfinished", "No space left on device")


def test_workers_that_will_never_come_end_no_trial(digits_job: Job, folder: TrialFolder) -> None:
    run = TrialRun(Assignment(trial=7), digits_job, NoWorkers("the roster died"), folder)
    last = run.next_result()
    assert (last.state, last.reason) == ("unfinished", "the roster died")


def test_a_trial_that_has_ended_does_not_move(digits_job: Job, folder: TrialFolder) -> None:
    workers = CountingWorkers()
    run = begin(digits_job, folder, workers)
    all_results(run)
    run.move()
    assert workers.left == 0


def test_a_crew_that_could_be_larger_forms_anew_between_two_epochs(digits_job: Job, folder: TrialFolder) -> None:
    workers = CountingWorkers()
    run = begin(digits_job, folder, workers, saves=False)
    results = [run.next_result()]
    workers.cramped = True
    results += all_results(run)
    assert [result.epoch for result in results] == [1, 2, 3, 4]
    assert (workers.trained, workers.left) == ([1, 2, 3, 4], 1)


def test_a_crew_that_could_be_larger_forms_anew_before_a_trial(digits_job: Job, folder: TrialFolder) -> None:
    workers = CountingWorkers()
    workers.cramped = True
    all_results(begin(digits_job, folder, workers))
    assert (workers.trained, workers.left) == ([1, 2, 3, 4], 1)


def test_machines_that_die_under_a_crew_are_not_held_against_the_trial(digits_job: Job, folder: TrialFolder) -> None:
    events: dict[int, Exception] = {
        count: CrewLost("a worker of the crew died", counts=False) for count in range(3, 3 + LOSS_LIMIT + 2)
    }
    assert all_results(begin(digits_job, folder, CountingWorkers(events)))[-1].state == "finished"


def test_the_state_of_a_trial_that_moves_can_be_asked_for(digits_job: Job, folder: TrialFolder) -> None:
    run = begin(digits_job, folder, CountingWorkers(), saves=False)
    run.next_result()
    run.move()
    assert json.loads(run.state()) == [{"val/accuracy": 1.0}]


def test_a_machine_that_does_not_see_the_sweep_ends_it_before_it_trains(digits_job: Job, tmp_path: Path) -> None:
    workers = CountingWorkers()
    (result,) = all_results(begin(digits_job, TrialFolder(tmp_path / "not mounted", 7), workers))
    assert (result.state, workers.trained) == ("unfinished", [])
    assert "does not see" in result.reason
    assert not (tmp_path / "not mounted").exists()


def test_a_crew_that_is_lost_while_its_state_is_asked_for_trains_up_to_it_again(
    digits_job: Job, folder: TrialFolder
) -> None:
    class Losing(CountingWorkers):
        asked = 0

        def state(self) -> bytes:
            self.asked += 1
            if self.asked == 2:
                raise CrewLost("a worker died")
            return super().state()

    workers = Losing()
    workers.asked = 10  # what is saved is asked for, too
    run = begin(digits_job, folder, workers, saves=False)
    for _ in range(3):
        run.next_result()
    workers.asked = 1
    assert len(json.loads(run.state())) == 3
    assert workers.trained == [1, 2, 3, 1, 2, 3]
    assert run.next_result().epoch == 4
