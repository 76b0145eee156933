"""Looks at a training from time to time: at its loss, and at the norms of its layers where they are watched."""

from typing import Any

from trainyard.errors import Diverged
from trainyard.spec.gradients import Gradients
from trainyard.training.gradients.health import Finding, Health
from trainyard.training.gradients.measuring import LayerNorms
from trainyard.training.gradients.norms import Block, Means, Sample

STEPS_BETWEEN_CHECKS = 50
"""Reading the loss and the norms waits for the GPU, so they are looked at every so many steps only."""

LARGEST_LOSS = 1e12
"""Beyond it a loss is as good as infinite, though float32 still holds it: Adam with lr=1e9 gets to 1e30 and stays."""


class Watch:
    """The checks of one trial, from epoch to epoch."""

    def __init__(self, settings: Gradients, norms: LayerNorms | None, *, steps_per_epoch: int, skips: bool) -> None:
        """norms: None where only the loss is looked at. skips: see Health."""
        self._steps_per_epoch = steps_per_epoch
        self._norms = norms
        self._health: Health | None = None
        if norms is not None:
            outputs = {layer.name: count for layer in norms.layers if (count := layer.outputs) is not None}
            self._health = Health(settings, outputs, steps_per_epoch=steps_per_epoch, skips=skips)
        self._means = Means()
        self.start(1)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that was found so far, the earliest first."""
        return () if self._health is None else tuple(self._health.findings)

    def start(self, epoch: int) -> None:
        """An epoch begins; the first is 1."""
        self._epoch = epoch
        self._checked, self._loss_sum = 0, 0.0
        self._means.reset()

    def due(self, step: int) -> bool:
        """Whether to check after this step of the epoch, the first being 1; also after the very first of all."""
        very_first = self._health is not None and self._epoch == step == 1
        return very_first or step % STEPS_BETWEEN_CHECKS == 0 or step == self._steps_per_epoch

    def check(self, loss: float, step: int) -> None:
        """loss: mean over the epoch so far and over all workers. Diverged if there is no sense in going on."""
        samples = self._norms.read() if self._norms is not None else []
        when = f"by step {step} of {self._steps_per_epoch} of epoch {self._epoch}"
        self.require_sane(loss, when, samples)
        if self._health is not None:
            self._health.check(self._block(loss, step, samples))
        self._means.add(samples)

    def require_sane(self, loss: float, when: str, samples: list[Sample] | None = None) -> None:
        """Diverged if a loss is NaN, infinite or as good as that; its reason says where it began, if the norms tell."""
        if abs(loss) <= LARGEST_LOSS:  # false for NaN
            return
        began = f"; {self._health.origin(samples or [])}" if self._health is not None else ""
        raise Diverged(f"the loss is {loss:.4g} {when}{began}")

    def _block(self, loss: float, step: int, samples: list[Sample]) -> Block:
        """The steps since the last check of the epoch, each a batch of the same size."""
        before, begun = self._steps_per_epoch * (self._epoch - 1), self._checked
        mean = (loss * step - self._loss_sum) / (step - begun)
        self._checked, self._loss_sum = step, loss * step
        return Block(start=before + begun, end=before + step, loss=mean, samples=samples)

    def metrics(self) -> dict[str, float]:
        """Of the epoch, by layer."""
        return self._means.compute()

    def state(self) -> dict[str, Any]:
        """Plain values to go on from, between two epochs."""
        return {} if self._health is None else self._health.state()

    def load_state(self, state: dict[str, Any]) -> None:
        if self._health is not None:
            self._health.load_state(state)
