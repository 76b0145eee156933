"""Splits decoded once and shared: every trial, slot and worker of a node reads one copy in Ray's object store."""

from dataclasses import dataclass
from pathlib import Path

import ray

from trainyard.data.columns import Columns, TrialData
from trainyard.data.dataset import Dataset
from trainyard.data.decode import decode_split
from trainyard.data.manifest import Manifest
from trainyard.spec.training import DataSettings


@dataclass(frozen=True, kw_only=True)
class SharedData:
    """A job's splits by reference. Small: it travels to slots and workers, which `read` it there."""

    manifest: Manifest
    train: "ray.ObjectRef[Columns]"
    evaluate: "ray.ObjectRef[Columns]"

    def read(self) -> TrialData:
        """The columns, as read-only views of the node's shared memory. Waits until they are decoded."""
        train, evaluate = ray.get([self.train, self.evaluate])
        return TrialData(manifest=self.manifest, train=train, evaluate=evaluate)


def share(dataset: Dataset, settings: DataSettings) -> SharedData:
    """Decode the job's splits as Ray tasks; returns at once. The references live as long as the caller keeps them."""
    # Without a CPU of their own: slots and crews may hold them all, and are waiting for this.
    decode = ray.remote(num_cpus=0)(_decode)
    path = dataset.path.resolve()
    refs = {
        split: decode.remote(path, split, settings.image_size)
        for split in dict.fromkeys((settings.train_split, settings.evaluate_split))
    }
    return SharedData(
        manifest=dataset.manifest, train=refs[settings.train_split], evaluate=refs[settings.evaluate_split]
    )


def _decode(path: Path, split: str, image_size: tuple[int, int] | None) -> Columns:
    return decode_split(Dataset.open(path), split, image_size)
