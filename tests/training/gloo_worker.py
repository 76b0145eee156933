"""Several processes that train the same jobs together; run by test_workers.py.

python gloo_worker.py CASES DATA FOLDER: for each case, rank 0 writes its metrics and weights to FOLDER/<case>. DATA is
a pickled dict, of which a case names an entry.
"""

import json
import pickle
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # DistributedDataParallel needs it: imported once, before the processes part
import torch.distributed as dist
import torch.multiprocessing
import torchvision.ops  # noqa: F401, the metrics of detection need it

from trainyard.data.split import TrialData
from trainyard.spec.job import Job
from trainyard.training import learner
from trainyard.training.trial import Member, Trial
from trainyard.training.workers import Replicas


def train(rank: int, cases: list[dict[str, Any]], data: dict[str, TrialData], folder: Path) -> None:
    torch.set_num_threads(1)
    for case in cases:
        if rank < case["workers"]:
            together(case, data[case["data"]], rank, folder)


def together(case: dict[str, Any], data: TrialData, rank: int, folder: Path) -> None:
    workers = case["workers"]
    meeting = f"file://{folder}/{case['name']}.meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=workers)
    learner.Replicas = partial(Replicas, overlap=case["overlap"])  # type: ignore[misc, assignment]
    trial = Trial(Job.from_dict(case["job"]), data, member=Member(rank=rank, workers=workers))
    for _ in range(2):
        trial.epoch()
    if rank == 0:
        torch.save({"history": trial.history, "weights": trial.state()["learner"]["model"]}, folder / case["name"])
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    cases, data, folder = sys.argv[1:]
    arguments = (json.loads(cases), pickle.loads(Path(data).read_bytes()), Path(folder))
    torch.multiprocessing.start_processes(train, arguments, nprocs=4, start_method="fork")
