"""Batches as one would feed them by hand: torch's DataLoader over images in memory, torchvision v2 image by image.

In the process itself: on one core a worker process would only add the cost of sending.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from pictures import AMOUNT, BATCH_SIZE, DEGREES, SHIFT, ZOOM, epochs, measure, pictures
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2


def transform() -> v2.Compose:
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(0.5),
            v2.RandomAffine(DEGREES, translate=(SHIFT, SHIFT), scale=ZOOM, interpolation=InterpolationMode.BILINEAR),
            v2.ColorJitter(brightness=AMOUNT, contrast=AMOUNT, saturation=AMOUNT),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
        ]
    )


class Pictures(Dataset[Any]):
    def __init__(self, columns: dict[str, np.ndarray]) -> None:
        self.columns = {name: torch.from_numpy(column) for name, column in columns.items()}
        self.transform = transform()

    def __len__(self) -> int:
        return len(self.columns["label"])

    def __getitem__(self, row: int) -> Any:
        image = tv_tensors.Image(self.columns["image"][row])
        label = self.columns["label"][row]
        if "mask" not in self.columns:
            return self.transform(image), label
        return (*self.transform(image, tv_tensors.Mask(self.columns["mask"][row])), label)


def batches(case: str) -> Iterator[int]:
    loader = DataLoader(Pictures(pictures(case)), batch_size=BATCH_SIZE[case], shuffle=True, drop_last=True)
    for _ in epochs():
        for batch in loader:
            yield len(batch[0])


if __name__ == "__main__":
    torch.manual_seed(0)
    measure(batches)
