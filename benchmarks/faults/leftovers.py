"""What a sweep left behind on a cluster that goes on, and what the cluster leaves when it has ended."""

from pathlib import Path

from faults.processes import RAYS_OWN, busy_of, family, kill_all, title, until
from faults.raylets import Raylets

SECONDS = 60.0
"""So long a cluster may take to clean up."""


def of_sweep(raylets: Raylets) -> list[str]:
    """A line for each kind of thing that is still there `SECONDS` after the sweep has ended."""
    found: dict[str, list[str]] = {}

    def clean() -> bool:
        held = raylets.held()
        found["placement groups"] = list(map(str, held["placement_groups"]))
        found["actors"] = [actor for actor in held["actors"] if actor != RAYS_OWN]
        found["bytes in the object stores"] = [str(int(held["store_bytes"]))] if held["store_bytes"] > 0 else []
        found["processes"] = [
            title(process) for raylet in (raylets.head, *raylets.nodes) for process in busy_of(raylet)
        ]
        return not any(found.values())

    until(clean, SECONDS, every=1.0)
    return [f"left behind: {kind}: {', '.join(what)}" for kind, what in found.items() if what]


def of_cluster(shared_memory: Path) -> list[str]:
    """The same of processes and of files in shared memory, when all raylets have ended. The processes are killed."""
    until(lambda: not family(), SECONDS, every=1.0)
    processes, files = family(), [path.name for path in shared_memory.iterdir()]
    found = {"processes": [title(process) for process in processes], "shared memory": files}
    kill_all(processes)
    return [f"left behind by the cluster: {kind}: {', '.join(what)}" for kind, what in found.items() if what]
