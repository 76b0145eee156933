"""Images through a frozen network, on whatever device it is."""

import numpy as np
import torch
from torch import Tensor

from trainyard.data.augment import in_unit_range
from trainyard.models.features import feature_extractor
from trainyard.spec.models.svm import Features
from trainyard.training.failures import trial_errors
from trainyard.training.seeds import Stream, derived_seed, seeded


def extract(images: np.ndarray, settings: Features, *, seed: int, batch_size: int, device: str) -> np.ndarray:
    """Features float32 (N, D) of images uint8 (N, 3, H, W), so many of them at a time.

    seed: of the weights, where they are drawn. TrialError if the network can't be built or doesn't take such images.
    """
    with trial_errors(f"the features of {settings.architecture}"):
        return _extract(images, settings, seed, batch_size, torch.device(device))


@torch.inference_mode()
def _extract(images: np.ndarray, settings: Features, seed: int, batch_size: int, device: torch.device) -> np.ndarray:
    channels, height, width = images.shape[1:]
    with seeded(derived_seed(seed, Stream.MODEL), device):
        network = feature_extractor(settings, (channels, height, width)).to(device)
    parts = []
    for start in range(0, len(images), batch_size):
        # Copied, as torch warns about tensors over read-only memory.
        batch = torch.from_numpy(images[start : start + batch_size].copy()).to(device)
        parts.append(_pooled(network(in_unit_range(batch)), settings).float().cpu())
    return torch.cat(parts).numpy()


def _pooled(maps: Tensor, settings: Features) -> Tensor:
    """(N, D) of feature maps (N, C, h, w), or of what was pooled before."""
    return maps.mean((2, 3)) if settings.pool == "average" and maps.dim() == 4 else maps.flatten(1)
