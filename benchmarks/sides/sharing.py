"""Two slots that read one decoded data set: when they get their first batches, and how much memory they share."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import ray

from trainyard.cluster.session import connected
from trainyard.data.cache import SharedData, share
from trainyard.data.dataset import Dataset
from trainyard.data.split import MemorySplit
from trainyard.spec.job import Job
from trainyard.sweep.plan import make_data_plan

TRIALS = 4


def job(data: Path, side: int) -> Job:
    return Job.from_dict(
        {
            "name": "sharing",
            "task": "classification",
            "data": {"path": str(data), "image_size": [side, side]},
            "model": {"name": "first_step:build_tiny", "mark": ""},
            "loss": {"cross_entropy": {}},
            "optimizer": {"name": "adamw", "lr": 1e-3},
            "training": {"epochs": 1, "batch_size": 32},
            "objective": {"metric": "val/accuracy", "mode": "max"},
        }
    )


@ray.remote(num_cpus=1)
class Slot:
    """What a slot does with its data and its trials, without Tune."""

    def __init__(self, job: Job, data: SharedData, folder: Path) -> None:
        import torch

        from trainyard.sweep.slots.worker import Worker
        from trainyard.training.trial import Member

        torch.set_num_threads(1)
        self._folder = folder
        self._data = data
        self._worker = Worker(job, data.read, member=Member(), directory=Path(__file__).parent)

    def first_batches(self, name: str) -> list[float]:
        """Seconds from the start of each trial to its first training batch at the model."""
        waits = []
        for trial in range(TRIALS):
            mark = self._folder / f"{name}-{trial}"
            started = time.time()
            self._worker.start({"model.mark": str(mark)})
            self._worker.epoch()
            waits.append(float(mark.read_text()) - started)
        self._worker.stop()
        return waits

    def memory(self) -> dict[str, float]:
        """MiB of shared memory in this process, all rows having been looked at: in whole, and its part of it."""
        data = self._data.read()
        assert isinstance(data.train, MemorySplit)
        for chunk in data.train.chunks:
            chunk["image"].max()
        return shared_memory("/dev/shm")


def shared_memory(place: str) -> dict[str, float]:
    """Resident and proportional MiB of the mappings of files below a folder."""
    found = {"Rss:": 0, "Pss:": 0}
    counted = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0]:
            counted = place in line  # plasma has deleted the file already: " (deleted)" stands behind its name
        elif counted and words[0] in found:
            found[words[0]] += int(words[1])
    return {"resident": found["Rss:"] / 1024, "proportional": found["Pss:"] / 1024}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--side", type=int, required=True)
    options = parser.parse_args()
    dataset, wanted = Dataset.open(options.data), job(options.data, options.side)
    result: dict[str, Any] = {}
    with connected(cpus=2) as nodes:
        started = time.perf_counter()
        data = share(dataset, wanted.data, make_data_plan(wanted, dataset.manifest, nodes))
        read = data.read()
        result["decoding"] = time.perf_counter() - started
        assert isinstance(read.train, MemorySplit)
        assert isinstance(read.evaluate, MemorySplit)
        result["data_mib"] = (read.train.nbytes + read.evaluate.nbytes) / 2**20
        del read
        slots = [Slot.remote(wanted, data, options.folder) for _ in range(2)]
        waits = ray.get([slot.first_batches.remote(str(index)) for index, slot in enumerate(slots)])
        result["waits"] = waits
        ray.get([slot.memory.remote() for slot in slots])
        result["memory"] = ray.get([slot.memory.remote() for slot in slots])
    (options.folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
