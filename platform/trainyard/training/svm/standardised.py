"""The features of a training split as a support vector machine needs them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch import Tensor

from trainyard.data.columns import row_count
from trainyard.training.svm.split import FeatureSplit


@dataclass(frozen=True)
class Standardised:
    """Features with mean 0 and variance 1 over the rows of their split.

    mean, scale: float64 (D,), what was taken away and divided by; features that don't vary are divided by 1.
    features: float64 (N, D). labels: int64 (N,).
    """

    mean: Tensor
    scale: Tensor
    features: Tensor
    labels: np.ndarray

    @classmethod
    def of(cls, split: FeatureSplit) -> Self:
        from sklearn.preprocessing import StandardScaler

        features = np.empty((len(split.labels), split.size))
        start = 0
        for chunk in split.chunks:
            features[start : start + row_count(chunk)] = chunk["features"]
            start += row_count(chunk)
        scaler = StandardScaler(copy=False).fit(features)
        scaler.transform(features)
        mean, scale = torch.from_numpy(scaler.mean_), torch.from_numpy(scaler.scale_)
        return cls(mean=mean, scale=scale, features=torch.from_numpy(features), labels=split.labels)

    @cached_property
    def products(self) -> Tensor:
        """float64 (N, N): the scalar products of all rows, worked out when they are first needed."""
        return self.features @ self.features.T
