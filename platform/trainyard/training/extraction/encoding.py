"""Images through a frozen image encoder, on whatever device it is, and their augmented copies."""

import numpy as np
import torch

from trainyard.data.augment import Augmenter, Share, in_unit_range
from trainyard.data.columns import Columns, row_count
from trainyard.models.sam import whole
from trainyard.spec.augmentations import Augmentations
from trainyard.spec.models.promptable import Sam
from trainyard.training.failures import trial_errors
from trainyard.training.seeds import Stream, derived_seed, seeded


def augmented_copy(columns: Columns, augmentations: Augmentations, *, seed: int, draw: int) -> dict[str, np.ndarray]:
    """`image` uint8 (N, C, H, W) and `mask` uint8 (N, H, W), each row changed as it would be in training.

    draw: from 1 on; what is drawn follows from it and from the seed. On the CPU, so that it is the same everywhere.
    """
    height, width = columns["image"].shape[2:]
    changed = {name: np.empty_like(columns[name]) for name in ("image", "mask")}
    share = Share(steps=row_count(columns), batch_size=1)
    draws = Augmenter(augmentations, seed=seed).draw(
        draw, share, height=height, width=width, device=torch.device("cpu")
    )
    for row in range(row_count(columns)):
        # Copied, as torch warns about tensors over read-only memory.
        batch = {name: torch.from_numpy(columns[name][row : row + 1].copy()) for name in changed}
        augmented = draws.apply(batch, row)
        changed["image"][row] = (augmented["image"][0] * 255).round().byte().numpy()
        changed["mask"][row] = augmented["mask"][0].numpy()
    return changed


def encoded(images: np.ndarray, model: Sam, *, seed: int, batch_size: int, device: str) -> np.ndarray:
    """Embeddings float16 (N, C, h, w) of images uint8 (N, 3, H, W), so many of them at a time.

    seed: of the weights, where they are drawn: those that a trial with the seed draws. StorageError if the weights
    can't be had, TrialError if they don't fit.
    """
    with trial_errors(f"the embeddings of {model.architecture}"):
        return _encoded(images, model, seed, batch_size, torch.device(device))


@torch.inference_mode()
def _encoded(images: np.ndarray, model: Sam, seed: int, batch_size: int, device: torch.device) -> np.ndarray:
    channels, height, width = images.shape[1:]
    with seeded(derived_seed(seed, Stream.MODEL), device):
        sam = whole(model.settings, (channels, height, width)).to(device).eval()
    parts = []
    for start in range(0, len(images), batch_size):
        batch = torch.from_numpy(images[start : start + batch_size].copy()).to(device)
        parts.append(sam.embeddings(in_unit_range(batch)).half().cpu().contiguous())
    return torch.cat(parts).numpy()
