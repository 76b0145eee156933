"""What each augmentation costs by itself: images a second on one thread, of batches of random images in memory.

For tables and for finding what got slower; `input_pipeline.py` compares whole pipelines with their peers.
"""

import time
from collections.abc import Mapping
from typing import Any

import torch

from trainyard.data.augment import Augmenter, Share
from trainyard.spec.augmentations import Augmentations

ONE_BY_ONE: dict[str, dict[str, Any]] = {
    "flips": {"horizontal_flip": {}, "vertical_flip": {}},
    "padding crop and flip": {"padding_crop": {"pixels": 4}, "horizontal_flip": {}},
    "resized crop and flip": {"random_resized_crop": {}, "horizontal_flip": {}},
    "rotate": {"rotate": {"degrees": 10}},
    "brightness, contrast, saturation": {name: {"amount": 0.2} for name in ("brightness", "contrast", "saturation")},
    "hue": {"hue": {"amount": 0.1}},
    "equalize": {"equalize": {"p": 1.0}},
    "sharpness": {"sharpness": {"amount": 0.5}},
    "gaussian blur": {"gaussian_blur": {"p": 1.0}},
    "noise": {"noise": {"std": 0.1}},
    "random erasing": {"random_erasing": {"p": 1.0}},
    "mixup": {"mixup": {"alpha": 0.2}},
    "cutmix": {"cutmix": {"alpha": 1.0}},
    "trivial_augment": {"trivial_augment": {}},
    "rand_augment": {"rand_augment": {}},
}


def images_per_second(
    augmentations: Mapping[str, Any],
    *,
    image: tuple[int, int, int],
    batch_size: int,
    masks: bool = False,
    seconds: float = 1.0,
) -> float:
    """Of images uint8 (C, H, W) that leave as float32, with masks where these are asked for.

    The clock is that of the thread, which stands still while others have the core. The caller sets torch's threads.
    """
    channels, height, width = image
    batch = {
        "image": torch.randint(0, 256, (batch_size, channels, height, width), dtype=torch.uint8),
        "label": torch.arange(batch_size),
    }
    if masks:
        batch["mask"] = torch.randint(0, 11, (batch_size, height, width), dtype=torch.uint8)
    share = Share(steps=10**6, batch_size=batch_size)
    augmenter = Augmenter(Augmentations.model_validate(augmentations), seed=0)
    draws = augmenter.draw(1, share, height=height, width=width, device=torch.device("cpu"))
    draws.apply(batch, 0)
    started, step = time.thread_time(), 0
    while time.thread_time() - started < seconds:
        step += 1
        draws.apply(batch, step)
    return step * batch_size / (time.thread_time() - started)
