"""The Ray Train run of one crew: a `DataParallelTrainer` without what a crew has no use for, and a policy for its size.

A start of Ray Train's own takes two processes more, each with Ray Train's imports, that do nothing for a crew: one for
data sets, one for placement groups, of which the driver takes care. And it gives controller and
workers a runtime environment just to hand on a few variables: then none can be a process that waits for work already,
and each imports Ray twice.

Ray's elastic policy counts nodes by a list that is up to 20 s old, asks an actor whose start alone takes longer than
the 5 s that it is given, and tears a group down in the middle of an epoch to enlarge it. Ours looks at the cluster when
a group is to be made, never touches a running one, and tells the mailbox when there is room for a larger one: the slot
then saves its trial's state after the epoch under way, and lets the workers go (`TrialRun.move`).
"""

import contextlib
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any

import ray
from ray._private.state import state
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.constants import get_env_vars_to_propagate
from ray.train.v2._internal.execution.context import TrainRunContext
from ray.train.v2._internal.execution.controller.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy import NoopDecision, ResizeDecision, ScalingDecision, ScalingPolicy
from ray.train.v2._internal.execution.worker_group import (
    WorkerGroup,
    WorkerGroupContext,
    WorkerGroupPollStatus,
    WorkerGroupState,
)
from ray.train.v2._internal.execution.worker_group.placement_group_handle import DefaultPlacementGroupHandle
from ray.train.v2.api.callback import RayTrainCallback
from ray.train.v2.api.config import ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.util.placement_group import (
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainyard.cluster.liveness import leaving_nodes, living_nodes
from trainyard.sweep.crews.backend import CrewBackendConfig
from trainyard.sweep.crews.size import CrewSize, Growth
from trainyard.sweep.crews.wishes import Wishes

SETTINGS = {  # those of the driver's environment win
    # Worker groups are watched for losses more often than every 2 s.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # What was decided on a picture of the cluster that was out of date is decided anew after so long.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "20",
    # A process more for each crew. Nodes that are about to leave are watched by the driver.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # The controller blocks on purpose.
    "RAY_WARN_BLOCKING_GET_INSIDE_ASYNC": "0",
}

HOME_SECONDS = 6.0
"""So long a crew that is sent home may take to come."""

LOOK_SECONDS = 2.0
"""How often a running elastic crew looks for room to grow."""

GROW_SECONDS = 10.0
"""Room must have been there for so long before a crew takes it: growing costs the start of a process."""


class CrewTrainer(DataParallelTrainer):
    """Runs the workers of a crew, whatever happens to them, until they all return."""

    def __init__(
        self, train_loop: Any, *, mailbox: Any, size: CrewSize, sent_home: threading.Event, **settings: Any
    ) -> None:
        super().__init__(train_loop, backend_config=CrewBackendConfig(), **settings)
        self._mailbox = mailbox
        self._size = size
        self._sent_home = sent_home

    def _create_default_callbacks(self) -> list[RayTrainCallback]:
        left_out = DatasetsCallback, PlacementGroupCleanerCallback
        return [callback for callback in super()._create_default_callbacks() if not isinstance(callback, left_out)]

    def _initialize_and_run_controller(self, **parts: Any) -> Any:
        wishes = Wishes(self.train_run_context.run_id, self._size.each)
        parts["scaling_policy"] = CrewScaling(self.scaling_config, self._size, self._mailbox, wishes)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        controller = ray.remote(num_cpus=0, scheduling_strategy=here)(CrewController).remote(
            SETTINGS | get_env_vars_to_propagate(), parts
        )
        try:
            self._run_until_home(controller)
            return ray.get(controller.get_result.remote())
        except ray.exceptions.RayActorError:
            # Its workers end with it, but Ray keeps their places for them as long as the driver is connected.
            if ray.is_initialized():
                _give_back(self.train_run_context.run_id)
            raise

    def _run_until_home(self, controller: Any) -> None:
        """A crew that is sent home while it waits for room, or in a long epoch, does not hear of it: its controller is
        killed then."""
        run = controller.run.remote()
        while not (self._sent_home.is_set() or ray.wait([run], timeout=0.5)[0]):
            pass
        if not ray.wait([run], timeout=HOME_SECONDS)[0]:
            ray.kill(controller)
        ray.get(run)


def _give_back(run_id: str) -> None:
    """Remove the placement groups of a run whose controller has died."""
    for group in placement_group_table().values():
        if group["name"].startswith(run_id) and group["state"] != "REMOVED":
            with contextlib.suppress(ValueError):  # it has just been removed
                remove_placement_group(get_placement_group(group["name"]))


class CrewGroup(WorkerGroup):
    """Workers in the environment of their node, and in placement groups that are called after their run."""

    def _create_placement_group(
        self, scaling_config: ScalingConfig, worker_group_context: WorkerGroupContext
    ) -> DefaultPlacementGroupHandle:
        group = placement_group(
            bundles=[worker_group_context.resources_per_worker] * worker_group_context.num_workers,
            strategy=worker_group_context.placement_strategy,
            name=f"{self._train_run_context.run_id}-{uuid.uuid4().hex}",
        )
        return DefaultPlacementGroupHandle(group)

    @staticmethod
    def _get_worker_runtime_env(custom_runtime_env: Any) -> dict[str, Any]:
        return dict(custom_runtime_env)


class CrewController(TrainController):
    """Ray Train's controller, with its settings by argument."""

    worker_group_cls = CrewGroup

    def __init__(self, environment: dict[str, str], parts: dict[str, Any]) -> None:
        os.environ |= environment
        super().__init__(**parts)


class CrewScaling(ScalingPolicy):
    """Makes groups as large as there is room for. Lives in Ray Train's controller."""

    def __init__(self, scaling_config: ScalingConfig, size: CrewSize, mailbox: Any, wishes: Wishes) -> None:
        super().__init__(scaling_config)
        self._size = size
        self._mailbox = mailbox
        self._wishes = wishes
        self._held: tuple[str, ...] = ()
        self._growth = Growth(size, GROW_SECONDS)
        self._could_be = 0
        self._looked = 0.0

    def make_decision_for_non_running_worker_group(self) -> ScalingDecision:
        if not ray.get(self._mailbox.forming.remote()):
            raise RuntimeError("the crew is not wanted any more")  # ends the run, which else would wait for room
        # A group that has failed is taken down only after this decision: until then its places look taken.
        held, self._held = self._held, ()
        workers = self._ask(held) if self._size.elastic else self._size.most
        self._could_be, self._looked = 0, 0.0
        return ResizeDecision(num_workers=workers, resources_per_worker=dict(self._size.each))

    def _ask(self, held: tuple[str, ...]) -> int:
        room = self._room(held)
        self._wishes.give_back()  # for the group that is to be made
        if not self._size.together:  # the machine that comes for one worker may have places for all
            self._wish(room)
        return self._growth.ask(list(room.values()))

    def make_decision_for_running_worker_group(
        self, worker_group_state: WorkerGroupState, worker_group_status: WorkerGroupPollStatus
    ) -> ScalingDecision:
        self._held = tuple(worker.metadata.node_id for worker in worker_group_state.workers)
        now = time.monotonic()
        if self._size.elastic and now - self._looked >= LOOK_SECONDS:
            self._looked = now
            room = self._room(self._held)
            self._wish(room)
            before, nodes = self._could_be, list(room.values())
            self._could_be = self._growth.could_be(now, size=len(self._held), nodes=nodes)
            if before or self._could_be:  # again and again: the workers may not have joined the mailbox yet
                self._mailbox.room.remote(self._could_be)
        return NoopDecision()

    def _room(self, held: tuple[str, ...]) -> dict[str, Mapping[str, float]]:
        """What each node has left, with what wishes hold, and as if the workers on the nodes `held` were gone."""
        nodes = living_nodes() - leaving_nodes()
        own = Counter((*held, *self._wishes.held(nodes)))
        free = state.available_resources_per_node()
        return {
            node: {
                name: free.get(node, {}).get(name, 0.0) + own[node] * amount for name, amount in self._size.each.items()
            }
            for node in nodes
        }

    def _wish(self, room: Mapping[str, Mapping[str, float]]) -> None:
        self._wishes.ask(self._size.wishes(self._size.within(list(room.values()))), room)

    # Ray's policies register with an actor that coordinates what the autoscaler is asked for. A crew's placement groups
    # say as much: that of its workers, and its wishes.

    def after_controller_start(self, train_run_context: TrainRunContext) -> None:
        return None

    async def before_controller_shutdown(self) -> None:
        self._wishes.end()

    def before_controller_abort(self) -> None:
        self._wishes.end()

    def _get_num_workers_for_resource_request(self) -> int:
        return self._size.most
