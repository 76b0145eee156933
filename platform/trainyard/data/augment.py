"""Random changes to a whole batch of images, on whatever device they are on.

All moves of a sample are composed into one affine map, so that an image is resampled once. On one core that runs 63,000
images/s at 3x32x32, against 2,000 for torchvision.transforms.v2 image by image.

Everything random is drawn for the global batches of an epoch, from (seed, epoch) alone, and a worker keeps its own
share: a sample meets the same change on any number of workers. Each augmentation has a stream of its own, so that
switching one on leaves the others' draws as they were.
"""

from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainyard.data.geometry import Moves, sampling_maps
from trainyard.data.rows import own_share
from trainyard.spec.augmentations import Augmentations

MOVES = ("horizontal_flip", "vertical_flip", "rotate", "translate", "scale", "shear")

_STREAMS = dict(zip(Augmentations.model_fields, count(1)))
"""A number for each augmentation, none of them 0: numpy takes [seed, epoch, 0] for [seed, epoch], the rows' stream."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """A worker's part of an epoch: `steps` global batches of `batch_size`, of each of which rank has its slice."""

    steps: int
    batch_size: int
    rank: int = 0
    workers: int = 1


@dataclass(frozen=True, kw_only=True)
class EpochDraws:
    """What happens to each sample of a worker's epoch. A tensor's first two axes are step and sample; None: nothing.

    warp: (steps, share, 2, 3), from positions in the augmented image to those in the original (affine_grid's theta).
    brightness, contrast: (steps, share), factors.
    noise: (steps, share), standard deviations.
    """

    warp: Tensor | None
    brightness: Tensor | None
    contrast: Tensor | None
    noise: Tensor | None
    noise_seeds: tuple[int, ...]
    share: Share

    def images(self, images: Tensor, step: int) -> Tensor:
        """The augmented images of a step: float (share, C, H, W) in [0, 1], in and out."""
        if self.warp is not None:
            images = warped(images, self.warp[step])
        if self.brightness is not None:
            images = (images * _each(self.brightness[step])).clamp_(0, 1)
        if self.contrast is not None:
            mean = images.mean(dim=(1, 2, 3), keepdim=True)
            images = torch.lerp(mean, images, _each(self.contrast[step])).clamp_(0, 1)
        if self.noise is not None:
            images = (images + self._noise_like(images, step) * _each(self.noise[step])).clamp_(0, 1)
        return images

    def _noise_like(self, images: Tensor, step: int) -> Tensor:
        """Drawn for the global batch, of which own samples are kept: as costly on each worker as on a single one."""
        generator = torch.Generator(images.device).manual_seed(self.noise_seeds[step])
        shape = (self.share.batch_size, *images.shape[1:])
        noise = torch.randn(shape, generator=generator, device=images.device)
        return noise.chunk(self.share.workers)[self.share.rank]


class Augmenter:
    """Draws the augmentations of an epoch: the same arguments give the same draws, bit for bit."""

    def __init__(self, settings: Augmentations, *, seed: int) -> None:
        self.settings = settings
        self._seed = seed

    def draw(self, epoch: int, share: Share, *, height: int, width: int, device: torch.device) -> EpochDraws:
        """height, width: of the images, in pixels. device: where the images will be."""
        draws = _Draws(self.settings, seed=self._seed, epoch=epoch, samples=share.steps * share.batch_size)
        moves = draws.moves()

        def own(values: np.ndarray | None) -> Tensor | None:
            if values is None:
                return None
            kept = own_share(values.astype(np.float32), steps=share.steps, rank=share.rank, workers=share.workers)
            return torch.from_numpy(kept).to(device)

        return EpochDraws(
            warp=own(sampling_maps(moves, height=height, width=width) if moves else None),
            brightness=own(draws.factors("brightness")),
            contrast=own(draws.factors("contrast")),
            noise=own(draws.noise()),
            noise_seeds=draws.noise_seeds(share.steps),
            share=share,
        )


class _Draws:
    """The draws for so many samples; None where the job asks for nothing of the kind."""

    def __init__(self, settings: Augmentations, *, seed: int, epoch: int, samples: int) -> None:
        self._settings = settings
        self._samples = samples
        self._seed = [seed, epoch]

    def moves(self) -> Moves | None:
        if all(getattr(self._settings, name) is None for name in MOVES):
            return None
        return Moves(
            mirror=np.concatenate([self._mirror("horizontal_flip"), self._mirror("vertical_flip")], axis=1),
            shear=self._angle("shear"),
            zoom=self._zoom(),
            turn=self._angle("rotate"),
            shift=self._shift(),
        )

    def factors(self, name: str) -> np.ndarray | None:
        chosen = getattr(self._settings, name)
        if chosen is None:
            return None
        return self._uniform(name, 1 - chosen.amount, 1 + chosen.amount, otherwise=1.0)[:, 0]

    def noise(self) -> np.ndarray | None:
        chosen = self._settings.noise
        return None if chosen is None else self._uniform("noise", chosen.std, chosen.std, otherwise=0.0)[:, 0]

    def noise_seeds(self, steps: int) -> tuple[int, ...]:
        if self._settings.noise is None:
            return ()
        return tuple(np.random.default_rng([*self._seed, _STREAMS["noise"], 1]).integers(2**62, size=steps).tolist())

    def _mirror(self, name: str) -> np.ndarray:
        return self._uniform(name, -1, -1, otherwise=1.0)

    def _angle(self, name: str) -> np.ndarray:
        chosen = getattr(self._settings, name)
        degrees = chosen.degrees if chosen else 0.0
        return np.radians(self._uniform(name, -degrees, degrees, otherwise=0.0)[:, 0])

    def _zoom(self) -> np.ndarray:
        chosen = self._settings.scale
        low, high = (chosen.low, chosen.high) if chosen else (1.0, 1.0)
        return self._uniform("scale", low, high, otherwise=1.0)[:, 0]

    def _shift(self) -> np.ndarray:
        chosen = self._settings.translate
        fraction = chosen.fraction if chosen else 0.0
        return self._uniform("translate", -fraction, fraction, otherwise=0.0, width=2)

    def _uniform(self, name: str, low: float, high: float, *, otherwise: float, width: int = 1) -> np.ndarray:
        """(samples, width): uniform in [low, high] with the augmentation's probability, else `otherwise`."""
        chosen = getattr(self._settings, name)
        if chosen is None:
            return np.full((self._samples, width), otherwise)
        stream = np.random.default_rng([*self._seed, _STREAMS[name]])
        happens = stream.random((self._samples, 1)) < chosen.p
        return np.where(happens, stream.uniform(low, high, (self._samples, width)), otherwise)


def warped(images: Tensor, warp: Tensor, *, mode: str = "bilinear") -> Tensor:
    """Each image (of N, C, H, W) moved by its map (of N, 2, 3). What comes from outside of the image is black."""
    grid = functional.affine_grid(warp, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode=mode, padding_mode="zeros", align_corners=False)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]
