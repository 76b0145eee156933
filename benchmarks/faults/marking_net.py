"""A small net whose training takes time but no CPU, and which notes the trial that its process trains.

Beside the job it is what a user's own model is: `model: {name: "marking_net:build"}`.
"""

import os
import time
from pathlib import Path

from torch import Tensor, nn


class MarkingNet(nn.Module):
    def __init__(self, inputs: int, outputs: int, pause: float) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.pause = pause

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            time.sleep(self.pause)
        return self.linear(images.flatten(1))


def build(image: tuple[int, int, int], outputs: int, mark: float, marks: str, pause: float) -> nn.Module:
    """mark: sampled, another for each trial; without effect. marks: a folder. pause: seconds of each training step."""
    file = Path(marks) / str(os.getpid())
    aside = file.with_suffix(".new")
    aside.write_text(repr(mark))
    aside.replace(file)
    channels, height, width = image
    return MarkingNet(channels * height * width, outputs, pause)
