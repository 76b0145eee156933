"""A crew: the Ray Train workers of one slot, kept warm from trial to trial.

The driver launches a crew beside Tune, as one run of Ray Train in a thread (`sweep.crews.trainer`), because starting
one inside a slot's set-up would put the imports of four processes in a row. The slot talks to it through its mailbox
(`CrewWorkers`). The function at the bottom is what runs on every worker.
"""

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainyard.cluster.liveness import gone_or_going, leaving_nodes
from trainyard.data.cache import SharedData
from trainyard.data.location import Location
from trainyard.errors import Diverged, RunError, TrialError
from trainyard.spec.job import Job
from trainyard.spec.training import Resources
from trainyard.sweep.crews.mailbox import Answer, Mailbox
from trainyard.sweep.crews.size import CrewSize
from trainyard.sweep.extraction import SharedExtraction
from trainyard.sweep.slots.assignment import Drawn, EpochDone, Started
from trainyard.sweep.slots.workers import CrewLost

CONTROLLERS = 3
"""So many of Ray Train's controllers may die, and a crew is given up: something on the driver's machine kills them."""

ABSENT_SECONDS = 5.0
"""After so long without a crew a slot asks whether there is another for it."""

MailboxHandle = Any
"""An actor handle of `Mailbox`; Ray's handles carry no types."""


STRATEGIES = {"pack": "PACK", "spread": "SPREAD", "one_node": "STRICT_PACK"}
"""A job's placement in the words of Ray's placement groups."""


@dataclass(frozen=True, kw_only=True)
class CrewOrders:
    """What every worker of a crew needs to know, the same for all crews of a sweep."""

    job: Job
    directory: Path | None
    data: SharedData | SharedExtraction


def open_mailboxes(count: int) -> list[MailboxHandle]:
    """One mailbox a crew. They cost no CPU and end with the driver."""
    return [beside_driver(Mailbox) for _ in range(count)]


def beside_driver(kind: type, *arguments: Any) -> Any:
    """A small actor on the driver's node, which must live anyway: elsewhere the death of a node would take it away."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(num_cpus=0, max_concurrency=1000, scheduling_strategy=here)(kind)
    return actor.remote(*arguments)


class Crew:
    """The driver's end of one crew: a thread with its Ray Train run."""

    def __init__(
        self, name: str, orders: CrewOrders, mailbox: MailboxHandle, storage: dict[str, Any], *, share: int = 0
    ) -> None:
        """share: for how many workers it may ask the cluster's autoscaler; 0: there is none."""
        self._name = name
        self._orders = orders
        self._mailbox = mailbox
        self._storage = storage
        self._share = share
        self._sent_home = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"crew-{name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._fit_again_and_again()
            reason = "its Ray Train run has ended"
        except Exception as error:  # the reason travels to the slot, which ends its trial with it
            reason = f"its Ray Train run failed: {error}"
        with contextlib.suppress(ray.exceptions.RayError, ValueError):  # Ray is being shut down, and the slot with it
            ray.get(self._mailbox.close.remote(reason))

    def _fit_again_and_again(self) -> None:
        """Until a run ends by itself, or too many controllers have died: what a worker raises stays with Ray Train."""
        for left in reversed(range(CONTROLLERS)):
            try:
                self._fit()
                return
            except ray.exceptions.RayActorError:
                # Sent home, it is not wanted again.
                if left == 0 or self._sent_home.is_set():
                    raise

    def _fit(self) -> None:
        # A command imports Ray Tune in a thread, and that imports Ray Train: at the same time both would go in circles.
        import ray.tune  # noqa: F401
        from ray.train import FailureConfig, RunConfig, ScalingConfig

        from trainyard.sweep.crews.trainer import CrewTrainer

        resources = self._orders.job.resources
        size = crew_size(resources, self._share)
        CrewTrainer(
            crew_member,
            mailbox=self._mailbox,
            size=size,
            sent_home=self._sent_home,
            train_loop_config={"mailbox": self._mailbox, "orders": self._orders},
            scaling_config=ScalingConfig(
                num_workers=(size.least, size.most) if size.elastic else size.most,
                use_gpu=resources.gpus_per_worker > 0,
                resources_per_worker=dict(size.each),
                placement_strategy=STRATEGIES[resources.placement],
            ),
            run_config=RunConfig(
                name=self._name,
                **self._storage,
                # Any number of losses: what ends a trial that keeps killing its crew is the slot's own limit.
                failure_config=FailureConfig(max_failures=-1),
            ),
        ).fit()

    def send_home(self) -> None:
        """Tell the workers to leave; does not wait."""
        self._sent_home.set()
        with contextlib.suppress(ray.exceptions.RayError):  # a dead mailbox has nobody to tell
            self._mailbox.close.remote("the sweep has ended")

    @property
    def ended(self) -> bool:
        """Whether its run is over: it has come home, or was given up."""
        return not self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Until the run has ended, or for so long."""
        self._thread.join(max(seconds, 0.0))


def crew_size(resources: Resources, share: int = 0) -> CrewSize:
    """What a job says of its crews. share: for how many workers each may ask the cluster's autoscaler."""
    each: dict[str, float] = {"CPU": resources.cpus_per_worker}
    if resources.gpus_per_worker:
        each["GPU"] = resources.gpus_per_worker
    return CrewSize(
        least=resources.least_workers,
        most=resources.most_workers,
        each=each,
        together=resources.placement == "one_node",
        share=share,
    )


def close_crews(crews: Sequence[Crew], seconds: float = 10.0) -> None:
    """Send all crews home at once, and wait for them together."""
    for crew in crews:
        crew.send_home()
    end = time.monotonic() + seconds
    for crew in crews:
        crew.wait(end - time.monotonic())


class OtherCrews(Protocol):
    """Where a slot asks for another crew."""

    def another(self) -> MailboxHandle | None:
        """The mailbox of one that is to be waited for from now on; None to wait on."""
        ...

    def is_there(self) -> None:
        """The crew that was waited for has come."""
        ...


class CrewWorkers:
    """The slot's end of one crew."""

    def __init__(self, mailbox: MailboxHandle, others: OtherCrews | None = None) -> None:
        """others: asked while the crew is not there. None: there is no other."""
        self._others = others
        self._cramped = False
        self._nodes: frozenset[str] = frozenset()
        self._enter(mailbox)

    def _enter(self, mailbox: MailboxHandle) -> None:
        self._mailbox, self._turn = mailbox, -1
        with contextlib.suppress(CrewLost):  # the next command says so
            self._turn = self._ask("hand_over")

    @property
    def cramped(self) -> bool:
        """Whether it would be better off elsewhere: where there is room for more workers, or as a node is to leave."""
        return self._cramped or not self._nodes.isdisjoint(leaving_nodes())

    def nodes(self) -> frozenset[str]:
        """The ids of the nodes that the crew was on when it answered last."""
        return self._nodes

    def leave(self) -> None:
        """Send the workers away: they form anew where there is room then, for which the next `start` waits."""
        self._cramped, self._nodes = False, frozenset()
        with contextlib.suppress(CrewLost):  # the next command says so
            self._ask("let_go", turn=self._turn)

    def start(self, values: dict[str, Any], state: bytes | None = None) -> Started:
        self._wait_for_crew()
        return self._call("start", (values, state))

    def _wait_for_crew(self) -> None:
        asked = False
        while not self._ask("ready", ABSENT_SECONDS):
            if self._others is not None:
                asked, other = True, self._others.another()
                if other is not None:
                    self._enter(other)
        if asked and self._others is not None:
            self._others.is_there()

    def epoch(self) -> EpochDone:
        return self._call("epoch")

    def state(self) -> bytes:
        return self._call("state")

    def save(self, place: Location) -> None:
        try:
            self._call("save", place)
        except TrialError as error:
            raise RunError(error.reason) from None

    def draw(self, folder: Location) -> Drawn:
        drawn: Drawn = self._call("draw", folder)
        return drawn

    def stop(self) -> None:
        self._ask("stop", turn=self._turn)

    def _ask(self, what: str, *arguments: Any, **named: Any) -> Any:
        """A method of the mailbox."""
        try:
            return ray.get(getattr(self._mailbox, what).remote(*arguments, **named))
        except ray.exceptions.RayActorError as error:
            raise CrewLost(f"the mailbox of the crew died: {error}", final=True) from None

    def _call(self, verb: str, payload: Any = None) -> Any:
        reply = self._ask("call", verb, payload, turn=self._turn)
        self._cramped, self._nodes = reply.cramped, reply.nodes
        if reply.lost:
            raise CrewLost(reply.lost, final=reply.final, counts=not gone_or_going(reply.nodes))
        failed = [answer for answer in reply.answers if answer.failure is not None]
        if failed:
            cause = _cause(failed, reply.nodes)
            self._regroup()
            raise cause
        return next(answer.value for answer in reply.answers if answer.rank == 0)

    def _regroup(self) -> None:
        """After a failure the workers may stand at different collectives, so their process group is made anew.

        Workers that can't form one are sent away, and Ray Train builds the crew anew, for which the next `start` waits.
        """
        with contextlib.suppress(CrewLost):  # the next command says so
            reply = self._ask("call", "regroup", turn=self._turn)
            if any(answer.failure is not None for answer in reply.answers):
                self.leave()


def _cause(failed: Sequence[Answer], nodes: frozenset[str]) -> Exception:
    """The failure that the others follow from: where one worker raises, its fellows lose their connection to it.

    nodes: the ids of those that the workers are on.
    """
    for answer in failed:
        if answer.unread:
            return RunError(answer.failure)
    for answer in failed:
        if not answer.disconnected:
            kind = Diverged if answer.diverged else TrialError
            return kind(answer.failure or "", findings=answer.findings)
    return CrewLost(f"the workers lost their connection: {failed[0].failure}", counts=not gone_or_going(nodes))


def crew_member(config: dict[str, Any]) -> None:
    """Ray Train's training function: one worker of a crew, until the mailbox sends it home."""
    # Imported here, on the worker: the driver and the Train controller need none of it.
    from trainyard.sweep.crews.member import serve

    serve(config["mailbox"], config["orders"])
