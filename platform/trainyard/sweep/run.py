"""A sweep from its specs to its last record. Read `run_sweep` first: it is the table of contents."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from ray import tune
from ray.air._internal import usage

from trainyard.data.cache import SharedData, share
from trainyard.data.dataset import Dataset
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep.checkpoints import keep_only
from trainyard.sweep.contact_sheets import MOST_TRIALS, draw_contact_sheets
from trainyard.sweep.crew import Crew, CrewOrders, beside_driver, close_crews, open_mailboxes
from trainyard.sweep.extraction import SharedExtraction, share_extracted
from trainyard.sweep.folder import SweepFolder
from trainyard.sweep.ledger import Ledger, Listener
from trainyard.sweep.opening import opening
from trainyard.sweep.plan import Node, Plan, gpus_of_trial, make_plan
from trainyard.sweep.ray_log import ray_logs_to
from trainyard.sweep.record import TrialRecord, replay
from trainyard.sweep.roster import Roster
from trainyard.sweep.schedulers import build_scheduler, pauses_trials, remember
from trainyard.sweep.searcher import SLOT_DEATHS, DriverOnly, LedgerSearcher, TuneWatcher
from trainyard.sweep.signals import handled
from trainyard.sweep.slot import Slot, SlotOrders
from trainyard.sweep.study import Study
from trainyard.sweep.workers import describe
from trainyard.tracking.events import Event, SweepState, TrialEpoch
from trainyard.tracking.journal import Journal
from trainyard.tracking.recorder import recording


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a sweep ended: finished, interrupted or failed, with the reason, its trials and its best ones."""

    name: str
    state: SweepState
    reason: str
    records: dict[int, TrialRecord]
    best: list[int]


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Everything that was asked for, checked. resume_command: what goes on with the sweep after an interruption."""

    job: Job
    space: Space
    dataset: Dataset
    folder: SweepFolder
    tracking_uri: str
    resume_command: str = ""


def run_sweep(
    sweep: Sweep,
    nodes: Sequence[Node],
    *,
    listeners: Sequence[Listener] = (),
    on_plan: Callable[[Plan], None] = lambda plan: None,
) -> Outcome:
    """Run or resume a sweep on the connected Ray cluster whose nodes have these resources.

    Raises InfeasibleError before anything starts. What goes wrong in a trial is that trial's end; what goes wrong with
    the sweep itself (a full disk, trials that all fail for one reason) is the outcome's state and reason.
    """
    with Journal(sweep.folder.journal) as journal:
        past = Journal.read(sweep.folder.journal)
        study = Study(sweep.folder.study, name=sweep.folder.name, job=sweep.job, space=sweep.space)
        plan = make_plan(sweep.job, sweep.space, nodes, sweep.dataset.manifest)
        on_plan(plan)
        with recording(journal, sweep.tracking_uri, sweep.job.name, deliver_with=sweep.resume_command) as recorder:
            ledger = Ledger(
                study=study,
                record=recorder.send,
                past=past,
                job=sweep.job,
                stop_after_failures=sweep.space.search.stop_after_failures,
                listeners=listeners,
            )
            ledger.open(opening(sweep.folder.name, sweep.job, sweep.space, sweep.dataset.manifest))
            try:
                state, reason = _train_all(sweep, plan, ledger, past)
                shown = [ledger.records[trial] for trial in ledger.best_trials(MOST_TRIALS)]
                if sheets := draw_contact_sheets(sweep.folder.path, shown):
                    ledger.sheets(sheets)
            except BaseException as error:
                ledger.close("interrupted" if isinstance(error, KeyboardInterrupt) else "failed", describe(error))
                raise
            ledger.close(state, reason)
    best = ledger.best_trials(sweep.space.search.keep_checkpoints)
    return Outcome(name=sweep.folder.name, state=state, reason=reason, records=ledger.records, best=best)


def _train_all(sweep: Sweep, plan: Plan, ledger: Ledger, past: Sequence[Event]) -> tuple[SweepState, str]:
    """Let Tune run until all trials have ended, or until there is a reason to stop; return state and reason."""
    if ledger.remaining == 0:
        return "finished", ""
    data = _share(sweep, plan)
    searcher = LedgerSearcher(ledger, slots=None if pauses_trials(sweep.space) else plan.slots)
    with ray_logs_to(sweep.folder.path / "ray.log"), _crews(sweep, plan, data) as mailboxes, _interruptible(searcher):
        roster = beside_driver(Roster, min(plan.slots, ledger.remaining))
        orders = SlotOrders(
            job=sweep.job,
            directory=sweep.job.directory,
            data=data,
            folder=sweep.folder.path,
            roster=roster,
            mailboxes=tuple(mailboxes),
        )
        scheduler = build_scheduler(sweep.job, sweep.space)
        remember(scheduler, _past_epochs(past, sweep.job))
        stopper = SweepStopper(searcher, ledger, sweep)
        _tuner(sweep, plan, orders, searcher, scheduler, stopper, TuneWatcher(ledger, roster)).fit()
        stopper.tidy()
    return _ending(searcher, ledger)


def _share(sweep: Sweep, plan: Plan) -> SharedData | SharedExtraction:
    """What all trials are trained on: decoded splits, or what is extracted from them."""
    job = sweep.job
    if plan.extraction is not None:
        return share_extracted(job, sweep.dataset)
    assert plan.data is not None
    cpus = job.resources.cpus_per_worker
    return share(sweep.dataset, job.data, plan.data, prompts=job.prompts, cpus_per_worker=cpus)


def _tuner(
    sweep: Sweep,
    plan: Plan,
    orders: SlotOrders,
    searcher: LedgerSearcher,
    scheduler: tune.schedulers.TrialScheduler,
    stopper: tune.Stopper,
    watcher: TuneWatcher,
) -> tune.Tuner:
    # To count which integrations are used, Tune imports mlflow as soon as there is any callback: 2 to 4 s before the
    # first trial.
    usage.tag_callbacks = lambda callbacks: False
    # Tune starts its actors one after the other unless told that all may be pending at a time.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(plan.slots)
    resources = sweep.job.resources
    # A crew's workers hold its CPUs and GPUs. Tune has no trials without resources, so the slot itself takes a byte.
    slot = {"CPU": resources.cpus_per_worker, "GPU": gpus_of_trial(sweep.job)} if not plan.crews else {"memory": 1}
    return tune.Tuner(
        tune.with_resources(tune.with_parameters(Slot, orders=orders), slot),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=lambda trial: str(trial.trial_id),
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name=sweep.folder.fresh("tune").name,
            storage_path=str(sweep.folder.path / "tune"),
            stop=stopper,
            callbacks=[watcher],
            failure_config=tune.FailureConfig(max_failures=SLOT_DEATHS - 1),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )


TIDY_EVERY = 10
"""Deleting a folder can take 40 ms of the driver's loop (a commit of the file system): not at each trial."""


class SweepStopper(DriverOnly, tune.Stopper):
    """Ends the sweep on Ctrl-C, on an error of its own, or when its first trials all failed; tidies checkpoints."""

    def __init__(self, searcher: LedgerSearcher, ledger: Ledger, sweep: Sweep) -> None:
        self._searcher = searcher
        self._ledger = ledger
        self._sweep = sweep
        self._tidied = 0
        self._kept: set[int] = set()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def tidy(self) -> None:
        """Keep the checkpoints of the best trials only."""
        keep = self._ledger.best_trials(self._sweep.space.search.keep_checkpoints)
        self._kept = keep_only(self._sweep.folder.path, keep, {*self._kept, *self._ledger.ended[self._tidied :]})
        self._tidied = len(self._ledger.ended)

    def stop_all(self) -> bool:
        if len(self._ledger.ended) - self._tidied >= TIDY_EVERY:
            self.tidy()
        return self._searcher.stopping or self._ledger.hopeless is not None


def _ending(searcher: LedgerSearcher, ledger: Ledger) -> tuple[SweepState, str]:
    if searcher.error is not None:
        return "failed", str(searcher.error)
    if ledger.hopeless is not None:
        return "failed", ledger.hopeless
    if ledger.remaining == 0 and all(record.ended for record in ledger.records.values()):
        return "finished", ""
    if searcher.closing:
        return "interrupted", "stopped by a signal"
    return "failed", "Ray Tune ended before all trials did"


def _past_epochs(past: Sequence[Event], job: Job) -> Iterator[tuple[TrialRecord, list[dict[str, float]]]]:
    """The ended trials of an earlier driver with the results that they reported."""
    epochs: dict[int, list[dict[str, float]]] = {}
    for event in past:
        if isinstance(event, TrialEpoch):
            epochs.setdefault(event.trial, []).append({**event.metrics, "epoch": event.epoch})
    for number, record in replay(past, job.objectives).items():
        if record.ended and number in epochs:
            yield record, epochs[number]


@contextlib.contextmanager
def _crews(sweep: Sweep, plan: Plan, data: SharedData | SharedExtraction) -> Iterator[list[Any]]:
    """A mailbox for each slot of the plan, and the crews behind them, which start beside Tune."""
    if not plan.crews:
        yield []
        return
    mailboxes = open_mailboxes(plan.crews)
    orders = CrewOrders(job=sweep.job, directory=sweep.job.directory, data=data)
    crews = [
        Crew(f"crew-{index}", orders, mailbox, sweep.folder.fresh("crews")) for index, mailbox in enumerate(mailboxes)
    ]
    try:
        yield mailboxes
    finally:
        close_crews(crews)


def _interruptible(searcher: LedgerSearcher) -> contextlib.AbstractContextManager[None]:
    """Ctrl-C and SIGTERM end the sweep so that it can be resumed; a second one ends it at once."""

    def stop(number: int, _frame: FrameType | None) -> None:
        if searcher.closing:
            raise KeyboardInterrupt
        searcher.closing = True

    return handled(stop, signal.SIGINT, signal.SIGTERM)
