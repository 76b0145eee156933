"""All metrics of a classifier, from its answers to every row of a split."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from trainyard.spec.decision import Argmax, Decision, Fixed
from trainyard.tasks.measures import ClassMeasures, average_precision, class_measures, log_odds
from trainyard.tasks.task import Batch, Meter
from trainyard.tasks.thresholds import chosen_threshold

TOP_K = 5


class ClassificationMeter(Meter):
    """accuracy, macro-averaged f1, precision and recall, top5_accuracy of more than five classes; and of each class
    that is measured by itself precision, recall, f1 and average_precision.

    With a decision, an image is answered with the positive class where its probability reaches the threshold, and else
    with the likeliest of the others. All but top5_accuracy and average_precision are of these answers.

    It keeps a few numbers of each row: a threshold that is chosen, and average precision, need all rows of all workers.
    A mean is over the classes that occur in the truth or the answers, and a class that has no row in the split has no
    measures of its own. A row with a NaN among its logits has the probability 0 for every class.

    Rows are ranked, and compared with a threshold, by log-odds: a probability above 1 - 1e-16 is 1 in float64, whatever
    the logits.
    """

    def __init__(
        self,
        classes: Sequence[str],
        device: torch.device,
        *,
        measured: Collection[str] = (),
        decision: Decision | None = None,
        single: bool = False,
    ) -> None:
        """single: whether answers are (N, 1), the logit of the second class against the first."""
        self._classes = tuple(classes)
        self._device = device
        self._single = single
        self._measured = [index for index, name in enumerate(classes) if name in measured]
        self._rule = decision.threshold if decision else Argmax(name="argmax")
        self._positive = self._classes.index(decision.positive) if decision else 0
        self._decides = not isinstance(self._rule, Argmax)
        self._scored = [*self._measured, self._positive] if self._decides else self._measured
        self.reset()

    def reset(self) -> None:
        # By row: label, likeliest class, likeliest class but the positive one, whether the label is among the top five.
        self._facts = [torch.zeros((0, 4), dtype=torch.int64, device=self._device)]
        self._scores = [torch.zeros((0, len(self._scored)), dtype=torch.float64, device=self._device)]

    def update(self, output: Tensor, batch: Batch) -> None:
        label = batch["label"]
        # Of two logits, 0 and z, the softmax is 1 - sigmoid(z) and sigmoid(z).
        logits = functional.pad(output, (1, 0)) if self._single else output
        likeliest = logits.argmax(1)
        other, top = likeliest, likeliest == label
        if self._decides:
            others = logits.clone()
            others[:, self._positive] = -torch.inf
            other = others.argmax(1)
        if len(self._classes) > TOP_K:
            top = (logits.topk(TOP_K, dim=1).indices == label[:, None]).any(1)
        self._facts.append(torch.stack([label, likeliest, other, top.long()], dim=1))
        self._scores.append(log_odds(logits, self._scored))

    def rows(self) -> list[Tensor]:
        facts, scores = torch.cat(self._facts), torch.cat(self._scores)
        return [facts, scores] if self._scored else [facts]

    def set_rows(self, rows: Sequence[Tensor]) -> None:
        self._facts = [rows[0]]
        self._scores = [rows[1]] if self._scored else [rows[0].new_zeros((len(rows[0]), 0), dtype=torch.float64)]

    def compute(self) -> dict[str, float]:
        labels, likeliest, other, top = torch.cat(self._facts).cpu().unbind(1)
        scores = torch.cat(self._scores).cpu()
        answers, decided = likeliest, dict[str, float]()
        if self._decides:
            answers, decided = self._decided(scores[:, -1], labels, other)
        measures = class_measures(answers, labels, len(self._classes))
        values = {
            "accuracy": float((answers == labels).double().mean()),
            "f1": measures.mean(measures.f1),
            "precision": measures.mean(measures.precision),
            "recall": measures.mean(measures.recall),
            **decided,
        }
        if len(self._classes) > TOP_K:
            values[f"top{TOP_K}_accuracy"] = float(top.double().mean())
        return values | self._by_class(measures, scores, labels)

    def _by_class(self, measures: ClassMeasures, scores: Tensor, labels: Tensor) -> dict[str, float]:
        measured = [index for index in self._measured if measures.rows[index]]
        if not measured:
            return {}
        columns = [self._scored.index(index) for index in measured]
        averages = average_precision(scores[:, columns], labels[:, None] == torch.tensor(measured))
        values: dict[str, float] = {}
        for index, average in zip(measured, averages.tolist(), strict=True):
            name = self._classes[index]
            values[f"precision/{name}"] = float(measures.precision[index])
            values[f"recall/{name}"] = float(measures.recall[index])
            values[f"f1/{name}"] = float(measures.f1[index])
            values[f"average_precision/{name}"] = average
        return values

    def _decided(self, scores: Tensor, labels: Tensor, other: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The answers by the threshold, and the threshold, a probability, if there is one that does what its rule asks
        for.

        scores: log-odds of the positive class. other: the likeliest of the other classes.
        """
        rule = self._rule
        assert not isinstance(rule, Argmax)
        if isinstance(rule, Fixed):
            probability = torch.tensor(rule.value, dtype=torch.float64)
            return other.masked_fill(scores >= probability.logit(), self._positive), {"threshold": rule.value}
        threshold = chosen_threshold(rule, scores, labels == self._positive)
        if threshold is None:
            return other, {}
        probability = torch.tensor(threshold, dtype=torch.float64).sigmoid()
        return other.masked_fill(scores >= threshold, self._positive), {"threshold": float(probability)}
