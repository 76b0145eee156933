"""A split read from end to end, several times: streamed by Ray Data, or decoded into memory once."""

import argparse
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import ray

from trainyard.cluster.session import ENVIRONMENT
from trainyard.data.cache import share
from trainyard.data.dataset import Dataset
from trainyard.data.loading import plan_data
from trainyard.data.rows import EpochOrder
from trainyard.spec.training import DataSettings

EPOCHS = 3
BATCH_SIZE = 64


class Watch:
    """Samples what is in the object store and what this process holds, every tenth of a second."""

    def __init__(self) -> None:
        self.store: list[float] = []
        self.process: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        total = ray.cluster_resources()["object_store_memory"]
        while not self._ended.wait(0.1):
            self.process.append(own_memory() / 2**20)
            self.store.append((total - ray.available_resources().get("object_store_memory", total)) / 2**20)


def own_memory() -> int:
    """Bytes of this process that are in memory and shared with no file."""
    _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text().split())
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--loading", choices=["cached", "streamed"], required=True)
    parser.add_argument("--store-mib", type=int, required=True)
    parser.add_argument("--side", type=int, required=True)
    options = parser.parse_args()
    os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})
    ray.init(num_cpus=2, object_store_memory=options.store_mib << 20, include_dashboard=False, log_to_driver=False)
    dataset = Dataset.open(options.data)
    settings = DataSettings(
        path=str(options.data), image_size=(options.side, options.side), loading=options.loading, evaluate_split="val"
    )
    plan = plan_data(dataset.manifest, settings, free=options.store_mib << 20)
    rates = []
    with Watch() as watch:
        started = time.perf_counter()
        split = share(dataset, settings, plan, cpus_per_worker=2).train.read()
        ready = time.perf_counter() - started
        for epoch in range(1, EPOCHS + 1):
            rows, begun = 0, time.perf_counter()
            for batch in split.training(EpochOrder(epoch=epoch, seed=0, batch_size=BATCH_SIZE)):
                rows += len(batch["label"])
            rates.append(rows / (time.perf_counter() - begun))
    result = {
        "ready": ready,
        "rates": rates,
        "store": max(watch.store),
        "process": max(watch.process),
        "rows": split.rows,
        "decoded_mib": plan.of("train").nbytes / 2**20,
    }
    ray.shutdown()
    (options.folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
