"""Batches by Ray Data: images in the object store, torchvision v2 in `map_batches`, `iter_torch_batches`.

Without a shuffle, in its favour.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import ray
import torch
from input_torch import transform
from pictures import BATCH_SIZE, epochs, measure, pictures
from torchvision import tv_tensors


class Augment:
    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.transform = transform()

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        images = torch.from_numpy(np.array(batch["image"]))
        if "mask" not in batch:
            done = [self.transform(tv_tensors.Image(image)) for image in images]
            return {**batch, "image": torch.stack(done).numpy()}
        masks = torch.from_numpy(np.array(batch["mask"]))
        both = [
            self.transform(tv_tensors.Image(image), tv_tensors.Mask(mask))
            for image, mask in zip(images, masks, strict=True)
        ]
        image, mask = (torch.stack(list(parts)).numpy() for parts in zip(*both, strict=True))
        return {**batch, "image": image, "mask": mask}


def batches(case: str) -> Iterator[int]:
    size = BATCH_SIZE[case]
    columns = pictures(case)
    blocks: list[Any] = [
        {name: column[start : start + 8 * size] for name, column in columns.items()}
        for start in range(0, len(columns["label"]), 8 * size)
    ]
    data = ray.data.from_blocks([ray.data.block.BlockAccessor.batch_to_block(block) for block in blocks])
    augmented = data.map_batches(Augment, batch_size=size, concurrency=1)
    for _ in epochs():
        for batch in augmented.iter_torch_batches(batch_size=size, drop_last=True):
            yield len(batch["image"])


@contextmanager
def quiet_ray() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


if __name__ == "__main__":
    measure(batches, within=quiet_ray())
