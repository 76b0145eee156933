"""Random numbers for the samples of an epoch, and which samples something happens to.

Everything is drawn for the global batches, from (seed, epoch, the augmentation's stream, the first step of the block)
alone, and a worker keeps its own slices: a sample meets the same change on any number of workers. Each augmentation has
a stream of its own, so that switching one on leaves the others' draws as they were.
"""

from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from torch import Tensor

from trainyard.data.rows import own_share, slice_of
from trainyard.spec.augmentations import KINDS

MIXING = "mixing"
"""The stream that decides which samples are mixed at all."""

JITTER = "jitter"
"""The stream of how far the boxes move that prompts are made of."""

_STREAMS = dict(zip((*KINDS, MIXING, JITTER), count(1)))


@dataclass(frozen=True, kw_only=True)
class Share:
    """A worker's part of an epoch: `steps` global batches of `batch_size`, of each of which rank has its slice.

    paired: whether slices hold whole pairs, for what mixes the two samples of a pair.
    """

    steps: int
    batch_size: int
    rank: int = 0
    workers: int = 1
    paired: bool = False

    @property
    def own(self) -> slice:
        """The worker's slice of each global batch."""
        return slice_of(self.batch_size, rank=self.rank, workers=self.workers, paired=self.paired)

    @property
    def samples(self) -> int:
        """In each of the worker's slices."""
        return self.own.stop - self.own.start


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some steps of an epoch, drawn at one go: `steps` of them from `first` on.

    A slice is worked on in parts of `part` samples. height, width: of the images, in pixels. device: where they are.
    """

    seed: int
    epoch: int
    first: int
    steps: int
    share: Share
    part: int
    height: int
    width: int
    device: torch.device

    @property
    def samples(self) -> int:
        """The worker's, over all steps."""
        return self.steps * self.share.samples

    @property
    def parts(self) -> int:
        """Of each slice."""
        return -(-self.share.samples // self.part)

    def stream(self, name: str) -> "Stream":
        """name: of the augmentation. Each call gives the same numbers."""
        # Never a 0: numpy takes [1, 2, 0] for [1, 2].
        return Stream(np.random.default_rng([self.seed, self.epoch, _STREAMS[name], self.first + 1]), self)


class Stream:
    """Numbers for each sample of a block, (samples, ...): drawn for the global batches, of which the own are kept."""

    def __init__(self, generator: np.random.Generator, block: Block) -> None:
        self._generator = generator
        self._block = block
        self._drawn = block.steps * block.share.batch_size

    def happens(self, p: float) -> np.ndarray:
        """bool: never for p = 0, always for p = 1."""
        return self.uniform(0, 1) < p

    def uniform(self, low: float, high: float, *shape: int) -> np.ndarray:
        return self._own(self._generator.uniform(low, high, (self._drawn, *shape)))

    def integers(self, low: int, high: int, *shape: int) -> np.ndarray:
        """From low to high, both included."""
        return self._own(self._generator.integers(low, high, (self._drawn, *shape), endpoint=True))

    def beta(self, alpha: float) -> np.ndarray:
        """From Beta(alpha, alpha)."""
        return self._own(self._generator.beta(alpha, alpha, self._drawn))

    def of_steps(self, high: int) -> list[int]:
        """A number from 0 to below high for each step, the same for all workers."""
        return self._generator.integers(high, size=self._block.steps).tolist()

    def _own(self, values: np.ndarray) -> np.ndarray:
        share = self._block.share
        own = own_share(values, steps=self._block.steps, own=share.own)
        return own.reshape(self._block.samples, *values.shape[1:])


@dataclass(frozen=True)
class Chosen:
    """The samples of a part that something happens to.

    samples: where they are in the part, int64 (n,), on the device of the images; None: all of them.
    values: drawn for them, (n, ...), there too. drawn: where they are among all that were drawn.
    """

    samples: Tensor | None
    values: Tensor
    drawn: slice

    def of(self, part: Tensor) -> Tensor:
        """Those of a part (N, ...): a copy, or the part itself if all are chosen."""
        return part if self.samples is None else part.index_select(0, self.samples)

    def put(self, part: Tensor, changed: Tensor) -> None:
        """Write what became of them."""
        if self.samples is not None:
            part.index_copy_(0, self.samples, changed)
        elif changed is not part:
            part.copy_(changed)


class Drawn:
    """The samples of a block that something happens to, and the values drawn for them.

    Which they are is known on the host, so that nothing ever waits for a GPU to say how many.
    """

    def __init__(self, happens: np.ndarray, values: np.ndarray, block: Block) -> None:
        """happens: bool (samples,). values: float (samples, ...), of which those that happen are kept as float32."""
        self.positions = np.flatnonzero(happens)
        """Of those that happen among the block's samples."""

        own = block.share.samples
        edges = np.minimum(np.arange(block.parts) * block.part, own)
        starts = (np.arange(block.steps)[:, None] * own + edges).reshape(-1)
        self._bounds: list[int] = np.searchsorted(self.positions, [*starts, block.samples]).tolist()
        self._sizes = np.diff([*edges, own]).tolist()
        samples = self.positions % own % block.part
        self._on_host: list[int] = samples.tolist()
        self._samples = torch.from_numpy(samples).to(block.device)
        self._values = torch.from_numpy(values[self.positions].astype(np.float32)).to(block.device)

    def __len__(self) -> int:
        return len(self.positions)

    def of(self, step: int, part: int) -> Chosen | None:
        """In a part of a step, both counted from 0 within the block; None if there are none."""
        bound = step * len(self._sizes) + part
        low, high = self._bounds[bound : bound + 2]
        if low == high:
            return None
        everyone = high - low == self._sizes[part]
        return Chosen(None if everyone else self._samples[low:high], self._values[low:high], slice(low, high))

    def on_host(self, chosen: Chosen) -> list[int]:
        """Where the chosen samples are in their part."""
        return self._on_host[chosen.drawn]
