"""A fitted support vector machine as tensors: it scores features without scikit-learn, and is saved without pickle."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

VALUES_AT_A_TIME = 1 << 22
"""Decisions between pairs of classes that are held at a time: with many classes there are many for each row."""

BELOW = 1.0
"""A class that the machine never saw scores so much less than the lowest of those that it knows."""


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """k(x, y), as scikit-learn's SVC defines it, with its coef0 at 0.

    linear: x.y. rbf: exp(-gamma |x - y|^2). poly: (gamma x.y)^degree. sigmoid: tanh(gamma x.y).
    """

    name: Literal["linear", "rbf", "poly", "sigmoid"]
    gamma: float
    degree: int

    def __call__(self, rows: Tensor, others: Tensor) -> Tensor:
        """(N, M) of rows (N, D) and others (M, D)."""
        return self.of_products(rows @ others.T, rows.square().sum(1), others.square().sum(1))

    def of_products(self, products: Tensor, squares: Tensor, other_squares: Tensor) -> Tensor:
        """(N, M) from the scalar products (N, M), and those of the rows (N,) and of the others (M,) with themselves.

        All four kernels are functions of the scalar products, which don't change from one fit to the next.
        """
        match self.name:
            case "linear":
                return products.clone()
            case "rbf":
                # Rounding may leave a little less than nothing between a row and itself.
                distances = (squares[:, None] + other_squares - 2 * products).clamp_min_(0)
                return distances.mul_(-self.gamma).exp_()
            case "poly":
                return (self.gamma * products).pow_(self.degree)
            case "sigmoid":
                return (self.gamma * products).tanh_()


class SupportVectorMachine(nn.Module):
    """Scores of K classes for features, which it standardises, by one machine for each pair of the fitted classes.

    The score of a class is the number of pairs that it wins, plus the sum of its decision values squeezed into
    (-1/3, 1/3): the decision function of scikit-learn's SVC (`decision_function_shape="ovr"`), whose largest score is
    its prediction with `break_ties=True`. With two classes there is one decision d, and the scores are -d/2 and d/2.

    Everything is float64 and a buffer: mean, scale (D,); support (S, D), standardised, those of a class one after the
    other; coefficients (C - 1, S) and intercepts (C (C - 1) / 2,) as libsvm lays them out (Chang and Lin 2011); classes
    int64 (C,), indexes of the C of K classes that were there to be fitted; counts int64 (C,), their support vectors.
    """

    mean: Tensor
    scale: Tensor
    support: Tensor
    coefficients: Tensor
    intercepts: Tensor
    classes: Tensor
    counts: Tensor

    def __init__(self, *, kernel: Kernel, outputs: int, tensors: Mapping[str, Tensor]) -> None:
        """outputs: K. tensors: the buffers by name."""
        super().__init__()
        self.kernel = kernel
        self.outputs = outputs
        for name in ("mean", "scale", "support", "coefficients", "intercepts", "classes", "counts"):
            self.register_buffer(name, tensors[name])

    def forward(self, features: Tensor) -> Tensor:
        """Scores (N, K) of features (N, D), as they come from the extractor, of any type."""
        standardised = (features.double() - self.mean) / self.scale
        return self.scores(self.kernel(standardised, self.support))

    def scores(self, values: Tensor) -> Tensor:
        """Scores (N, K) from the values (N, S) of the kernel between the rows and the support vectors."""
        count = len(self.classes)
        size = max(1, VALUES_AT_A_TIME // count**2)
        known = torch.cat([self._decided(part) for part in values.split(size)])
        scores = (known.amin(1, keepdim=True) - BELOW).repeat(1, self.outputs)
        scores[:, self.classes] = known
        return scores

    def _decided(self, values: Tensor) -> Tensor:
        """Scores (N, C) of the classes that were fitted."""
        pairs = self._pairs(values)
        if len(self.classes) == 2:
            return pairs.sum(2) / 2
        # A tie goes to the first class of a pair, as in libsvm. Its own column counts for nobody.
        wins = torch.where(self._first_of_pair(), pairs >= 0, pairs > 0).sum(2)
        sums = pairs.sum(2)
        return wins + sums / (3 * (sums.abs() + 1))

    def _pairs(self, values: Tensor) -> Tensor:
        """(N, C, C): the decision of class i against j, above 0 where it is for i, and its negative at [:, j, i]."""
        count = len(self.classes)
        pairs = values.new_zeros((len(values), count, count))
        parts = zip(
            values.split(self.counts.tolist(), dim=1),
            self.coefficients.split(self.counts.tolist(), dim=1),
            strict=True,
        )
        for own, (vectors, coefficients) in enumerate(parts):
            others = [other for other in range(count) if other != own]
            # Row r of the coefficients is against the r-th of the other classes; their sign is that of the pair.
            share = vectors @ coefficients.T
            signs = torch.tensor([1.0 if own < other else -1.0 for other in others], dtype=values.dtype)
            share *= signs.to(values.device)
            pairs[:, own, others] += share
            pairs[:, others, own] -= share
        first, second = torch.triu_indices(count, count, offset=1, device=values.device)
        pairs[:, first, second] += self.intercepts
        pairs[:, second, first] -= self.intercepts
        return pairs

    def _first_of_pair(self) -> Tensor:
        """bool (C, C): whether class i is the first of the pair with j."""
        count = len(self.classes)
        return torch.ones((count, count), dtype=torch.bool, device=self.classes.device).triu_(1)

    def state(self) -> dict[str, Any]:
        """Tensors and plain values, from which `of_state` makes the same machine."""
        return {"kernel": asdict(self.kernel), "outputs": self.outputs, "tensors": dict(self.state_dict())}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Self:
        return cls(kernel=Kernel(**state["kernel"]), outputs=state["outputs"], tensors=state["tensors"])


def multiclass_hinge(scores: Tensor, labels: Tensor) -> Tensor:
    """(N,): max(0, 1 - (the score of the true class - the highest of the others)), by Crammer and Singer 2001.

    scores: (N, K). labels: int64 (N,). Of two classes with scores -d/2 and d/2 it is the usual hinge loss of d.
    """
    true = scores.gather(1, labels[:, None])[:, 0]
    others = scores.scatter(1, labels[:, None], -torch.inf)
    return (1 - (true - others.amax(1))).clamp_min(0)
