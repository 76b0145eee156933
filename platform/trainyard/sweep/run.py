"""A sweep from its specs to its last record. Read `run_sweep` first: it is the table of contents."""

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any

import ray
from ray import tune

from trainyard.cluster.nodes import ClusterState, died_with_its_node
from trainyard.data.cache import SharedData, share
from trainyard.data.dataset import Dataset
from trainyard.errors import RunError, StorageError
from trainyard.spec.job import Job
from trainyard.spec.space import Space
from trainyard.sweep.contact_sheets import MOST_TRIALS, draw_contact_sheets
from trainyard.sweep.controller import Concurrency, tune_with
from trainyard.sweep.crews.crew import beside_driver
from trainyard.sweep.crews.crews import crews_for
from trainyard.sweep.crews.roster import Roster
from trainyard.sweep.extraction import SharedExtraction, share_extracted
from trainyard.sweep.following import Following, following
from trainyard.sweep.ledger import Ledger, Listener
from trainyard.sweep.opening import opening
from trainyard.sweep.places import Node, gpus_of_trial
from trainyard.sweep.plan import Plan, make_plan, replanned
from trainyard.sweep.ray_log import ray_logs_to
from trainyard.sweep.record import TrialRecord, replay
from trainyard.sweep.results.folder import SweepFolder
from trainyard.sweep.results.mirror import Mirror, NoMirror
from trainyard.sweep.search.schedulers import build_scheduler, pauses_trials, remember
from trainyard.sweep.search.study import Study
from trainyard.sweep.searcher import SLOT_DEATHS, LedgerSearcher, TuneWatcher
from trainyard.sweep.signals import handled
from trainyard.sweep.slots.slot import Slot, SlotOrders
from trainyard.sweep.slots.workers import describe, reason_of
from trainyard.sweep.stopper import SweepStopper
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
    mirror: Mirror = field(default_factory=NoMirror)


def run_sweep(
    sweep: Sweep,
    nodes: Sequence[Node],
    *,
    listeners: Sequence[Listener] = (),
    on_plan: Callable[[Plan], None] = lambda plan: None,
    look: Callable[[], ClusterState] | None = None,
) -> Outcome:
    """Run or resume a sweep on the connected Ray cluster whose nodes have these resources.

    on_plan: told how the sweep fits the cluster, at first and whenever there are other nodes. look: tells what nodes
    there are by now; None where they stay the same. Both are called in threads of the driver and must not wait.

    Raises InfeasibleError before anything starts. What goes wrong in a trial is that trial's end; what goes wrong with
    the sweep itself (a full disk, trials that all fail for one reason) is the outcome's state and reason.
    """
    with Journal(sweep.folder.journal, secure=sweep.mirror.secure) as journal:
        past = Journal.read(sweep.folder.journal)
        study = Study(sweep.folder.study, name=sweep.folder.name, job=sweep.job, space=sweep.space)
        plan = make_plan(sweep.job, sweep.space, nodes, sweep.dataset.manifest)
        on_plan(plan)
        with recording(
            journal,
            sweep.tracking_uri,
            sweep.job.name,
            deliver_with=sweep.resume_command,
            pictures=sweep.folder.place,
        ) as recorder:
            ledger = Ledger(
                study=study,
                record=recorder.send,
                past=past,
                job=sweep.job,
                stop_after_failures=sweep.space.search.stop_after_failures,
                listeners=listeners,
                change=sweep.mirror.change,
            )
            ledger.open(opening(sweep.folder.name, sweep.job, sweep.space, sweep.dataset.manifest))
            try:
                state, reason = _train_all(sweep, plan, ledger, past, on_plan, look)
                shown = [ledger.records[trial] for trial in ledger.best_trials(MOST_TRIALS)]
                if sheets := draw_contact_sheets(sweep.folder.place, shown):
                    ledger.sheets(sheets)
            except BaseException as error:
                ledger.close("interrupted" if isinstance(error, KeyboardInterrupt) else "failed", describe(error))
                raise
            ledger.close(state, reason)
    best = ledger.best_trials(sweep.space.search.keep_checkpoints)
    return Outcome(name=sweep.folder.name, state=state, reason=reason, records=ledger.records, best=best)


def _train_all(
    sweep: Sweep,
    plan: Plan,
    ledger: Ledger,
    past: Sequence[Event],
    on_plan: Callable[[Plan], None],
    look: Callable[[], ClusterState] | None,
) -> tuple[SweepState, str]:
    """Let Tune run until all trials have ended, or until there is a reason to stop; return state and reason."""
    if ledger.remaining == 0:
        return "finished", ""
    try:
        data = _share(sweep, plan)
    except StorageError as error:
        return "failed", reason_of(error)
    concurrency, pauses = Concurrency(plan.slots), pauses_trials(sweep.space)
    searcher = LedgerSearcher(ledger, concurrency=None if pauses else concurrency)
    roster = beside_driver(Roster)
    orders = SlotOrders(
        job=sweep.job, directory=sweep.job.directory, data=data, folder=sweep.folder.place, roster=roster
    )
    scheduler = build_scheduler(sweep.job, sweep.space)
    remember(scheduler, _past_epochs(past, sweep.job))
    stopper = SweepStopper(searcher, ledger, sweep.folder.place, sweep.space.search.keep_checkpoints, sweep.mirror)
    with (
        ray_logs_to(sweep.folder.ray_log),
        crews_for(sweep.job, data, lambda: sweep.folder.storage("crews"), roster, concurrency) as keep_crews,
        following(
            look,
            Following(
                plan=plan,
                refit=lambda plan, nodes: replanned(plan, sweep.job, sweep.space, nodes),
                concurrency=concurrency,
                on_plan=on_plan,
                on_leaving=lambda nodes: roster.leaving.remote(nodes),
            ),
        ) as follow,
        _interruptible(searcher),
        tune_with(concurrency, pauses=pauses, excused=partial(_excused, roster)),
    ):

        def keep_up() -> None:
            follow()
            try:
                keep_crews(searcher.running + ledger.remaining)
            except RunError as error:
                searcher.error = searcher.error or error

        keep_up()
        _tuner(sweep, orders, searcher, scheduler, stopper, TuneWatcher(keep_up)).fit()
        stopper.close()
    return _ending(searcher, ledger, sweep.mirror)


def _excused(roster: Any, slot: str) -> bool:
    """Whether the death of a slot is not its trial's doing."""
    with contextlib.suppress(ray.exceptions.RayError):
        if ray.get(roster.is_excused.remote(slot), timeout=5):
            return True
    return died_with_its_node(slot)


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
    orders: SlotOrders,
    searcher: LedgerSearcher,
    scheduler: tune.schedulers.TrialScheduler,
    stopper: tune.Stopper,
    watcher: TuneWatcher,
) -> tune.Tuner:
    return tune.Tuner(
        tune.with_resources(tune.with_parameters(Slot, orders=orders), _place_of_slot(sweep.job)),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=lambda trial: str(trial.trial_id),
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name="trials",
            **sweep.folder.storage("tune"),
            stop=stopper,
            callbacks=[watcher],
            failure_config=tune.FailureConfig(max_failures=SLOT_DEATHS - 1),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )


def _place_of_slot(job: Job) -> tune.PlacementGroupFactory:
    if not job.resources.crew:
        return tune.PlacementGroupFactory([{"CPU": job.resources.cpus_per_worker, "GPU": gpus_of_trial(job)}])
    # A crew's workers hold its CPUs and GPUs. Tune has no trials without resources, so the slot itself takes a byte. It
    # is beside the driver, which must live anyway: the death of another node costs a crew workers, and never its slot.
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    return tune.PlacementGroupFactory([{"memory": 1}], bundle_label_selector=[here])


def _ending(searcher: LedgerSearcher, ledger: Ledger, mirror: Mirror) -> tuple[SweepState, str]:
    if mirror.lost:
        return "failed", mirror.lost
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


def _interruptible(searcher: LedgerSearcher) -> contextlib.AbstractContextManager[None]:
    """Ctrl-C and SIGTERM end the sweep so that it can be resumed; a second one ends it at once."""

    def stop(number: int, _frame: FrameType | None) -> None:
        if searcher.closing:
            raise KeyboardInterrupt
        searcher.closing = True

    return handled(stop, signal.SIGINT, signal.SIGTERM)
