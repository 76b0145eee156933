"""Random changes to whole batches, on whatever device they are: drawn for each sample, and the same on any number of
workers.

An `Augmenter` draws an epoch, and the draws are applied to its batches. docs/augmentations.md says what happens, and in
which order.
"""

from trainyard.data.augment.augmenter import Augmenter, EpochDraws, in_unit_range
from trainyard.data.augment.drawing import JITTER, Share

__all__ = ["JITTER", "Augmenter", "EpochDraws", "Share", "in_unit_range"]
