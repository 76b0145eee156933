"""An elastic crew whose machines die, come and are taken back; run by test_elastic.py.

python elastic.py FOLDER DATA: on a cluster of its own, with a head without CPUs and machines of one CPU. Writes what
was seen to FOLDER/seen.json. Epochs are short and few, but each change costs the start of a process.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOST = "127.0.0.2"
"""On loopback. Ray takes 127.0.0.1 in an address for the machine's own one."""

PATIENCE = 150.0
"""Seconds for a crew to change."""

GRACE = 60.0
"""Seconds that a machine is announced to live on."""

JOB: dict[str, Any] = {
    "name": "digits-elastic",
    "task": "classification",
    "model": {"name": "cnn", "channels": [4, 8], "padding": "same", "dropout": 0.0},
    "loss": {"cross_entropy": {"weight": 1.0}},
    "augmentations": {"rotate": {"degrees": 10}},
    "optimizer": {"name": "sgd", "lr": 0.05},
    "training": {"epochs": 100_000, "batch_size": 5, "checkpoint_seconds": 0.0, "steps_per_epoch": 4},
    "objective": {"metric": "val/accuracy", "mode": "max"},
    "resources": {"workers": [1, 2]},
}


@contextmanager
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    shared = {"node_ip_address": HOST, "object_store_memory": 120 * 2**20, "include_dashboard": False}
    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **shared})
    machines.add_machine = lambda: machines.add_node(num_cpus=1, **shared)
    try:
        yield machines
    finally:
        machines.shutdown()


def drain(machines: Any, node: Any) -> None:
    """What a cloud's notice comes to: the node takes nothing new, and is to go at a time that is known."""
    import ray
    from ray.core.generated import autoscaler_pb2

    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    client = ray._raylet.GcsClient(address=machines.address)
    accepted, why = client.drain_node(node.node_id, reason, "", int((time.time() + GRACE) * 1000))
    assert accepted, why


def kill_controller() -> None:
    from ray._private.state import actors

    living = [actor for actor in actors().values() if actor["State"] == "ALIVE"]
    (pid,) = (actor["Pid"] for actor in living if actor["ActorClassName"] == "CrewController")
    os.kill(pid, signal.SIGKILL)


def alone(job: Any, dataset: Any, epochs: int) -> list[float]:
    """The losses of one worker in this process."""
    from trainyard.data.local import read_here
    from trainyard.training.trial import Trial

    trial = Trial(job, read_here(dataset, job.data))
    return [trial.epoch()["train/loss"] for _ in range(epochs)]


def main(folder: Path, data: str) -> None:
    from ray.util.placement_group import placement_group_table

    from trainyard.cluster.liveness import gone_or_going
    from trainyard.cluster.session import connected
    from trainyard.data.cache import share
    from trainyard.data.dataset import Dataset
    from trainyard.data.loading import plan_data
    from trainyard.spec.job import Job
    from trainyard.sweep.crews.crew import Crew, CrewOrders, CrewWorkers, close_crews, open_mailboxes
    from trainyard.sweep.results.checkpoints import TrialFolder
    from trainyard.sweep.slots.assignment import Assignment
    from trainyard.sweep.slots.trial_run import TrialRun

    job = Job.from_dict({**JOB, "data": {"path": data}})
    dataset = Dataset.open(data)
    plan = plan_data(dataset.manifest, job.data, free=2**27, where="a store")
    losses: list[float] = []
    sizes: list[int] = []
    changes: dict[str, dict[str, float]] = {}
    with cluster() as machines:
        first, second = machines.add_machine(), machines.add_machine()
        with connected(address=machines.address):
            shared = share(dataset, job.data, plan, prompts=None, cpus_per_worker=1)
            (mailbox,) = open_mailboxes(1)
            crew = Crew(
                "crew", CrewOrders(job=job, directory=None, data=shared), mailbox, {"storage_path": str(folder)}
            )
            # Two slots, one after the other, each with a trial after whose end the workers meet anew.
            diverged = [
                TrialRun(
                    Assignment(trial=number, values={"optimizer.lr": 1e30}),
                    job,
                    CrewWorkers(mailbox),
                    TrialFolder(folder, number),
                ).next_result()
                for number in (1, 2)
            ]
            workers = CrewWorkers(mailbox)
            run = TrialRun(Assignment(trial=0), job, workers, TrialFolder(folder, 0))

            def train_on(nodes: set[str], change: str) -> None:
                """Until an epoch has been trained by workers on these nodes."""
                began, at = time.monotonic(), len(losses)
                while True:
                    result = run.next_result()
                    assert not result.done, result.reason
                    assert result.epoch == len(losses) + 1
                    losses.append(result.metrics["train/loss"])
                    sizes.append(len(workers.nodes()))
                    if workers.nodes() == nodes:
                        changes[change] = {"seconds": time.monotonic() - began, "epochs": len(losses) - at}
                        print(change, changes[change], flush=True)
                        return
                    assert time.monotonic() - began < PATIENCE, f"{change}: no crew on {nodes}, but {workers.nodes()}"
                    time.sleep(0.3)

            train_on({first.node_id, second.node_id}, "started")
            machines.remove_node(second, allow_graceful=False)
            excused = {"dead": gone_or_going({second.node_id}), "living": gone_or_going({first.node_id})}
            train_on({first.node_id}, "a machine died")
            third = machines.add_machine()
            train_on({first.node_id, third.node_id}, "a machine came")
            drain(machines, third)
            excused["told to go"] = gone_or_going({first.node_id, third.node_id})
            train_on({first.node_id}, "a machine was taken back")
            kill_controller()
            train_on({first.node_id}, "Ray Train's controller died")
            close_crews([crew])
            left = [group["name"] for group in placement_group_table().values() if group["state"] != "REMOVED"]
    seen = {"losses": losses, "sizes": sizes, "changes": changes, "left": left, "excused": excused}
    seen["diverged"] = [result.state for result in diverged]
    (folder / "seen.json").write_text(json.dumps(seen | {"alone": alone(job, dataset, len(losses))}))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main(Path(sys.argv[1]), sys.argv[2])
