"""The health of a training, judged check by check from its loss and the norms of its layers. Pure: no torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from trainyard.errors import Diverged
from trainyard.spec.gradients import Gradients
from trainyard.training.gradients import symptoms
from trainyard.training.gradients.norms import Block, Norms, Sample, typical
from trainyard.training.gradients.origin import origin
from trainyard.training.gradients.symptoms import Beginning, Symptom

FindingName = Literal["exploding", "vanishing", "dead", "stalled"]

NOT_MOVED = 0.9
"""A loss that never fell below this share of its first value has not moved."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something wrong with a training, and the layer that shows it most."""

    name: FindingName
    layer: str
    reason: str

    def __str__(self) -> str:
        """`layer 3: its gradient is ...`."""
        return f"layer {self.layer}: {self.reason}" if self.layer else self.reason


class Health:
    """Judges a training from its first block of steps to its last.

    A symptom must last for `patience` steps to become a finding, and a finding of a name is made once. All workers of a
    trial are given the same numbers, and so come to the same findings. What is remembered is plain values: `state`.
    """

    def __init__(
        self, settings: Gradients, outputs: Mapping[str, int], *, steps_per_epoch: int, skips: bool = False
    ) -> None:
        """outputs: of the layers of which they are known. skips: steps with infinite gradients are left out, as the
        scaler of float16 does.
        """
        self.settings = settings
        self._outputs = outputs
        self._steps_per_epoch = steps_per_epoch
        self._skips = skips
        self._last: Sample | None = None
        self._restart()

    def _restart(self) -> None:
        self.findings: list[Finding] = []
        self._began = Beginning(loss=math.nan, layers={})
        self._first_block = math.nan
        self._moved = False
        self._since: dict[str, tuple[int, float]] = {}

    def check(self, block: Block) -> None:
        """Take in a block whose loss is finite. Diverged for norms that aren't, and for an explosion to stop at."""
        self._require_finite(block)
        samples = [sample for sample in block.samples if sample.finite and sample.layers]
        self._begin(block, samples)
        now = typical(samples)
        self._judge_overflow(block, samples)
        self._judge_explosion(block, now)
        if now is None:
            return
        faint = symptoms.vanishing(now, self.settings) or symptoms.shrinking(now, self._began, self.settings)
        self._judge("vanishing", faint, block)
        cut_off = None if faint else symptoms.dead(block, samples, self._began)
        self._judge("dead", cut_off, block)
        still = None if cut_off or self._moved else symptoms.stalled(block, samples, self._began, self.settings)
        self._judge("stalled", still, block)

    def origin(self, samples: Sequence[Sample]) -> str:
        """Where it began when a loss or a norm has gone past all bounds: a sentence. samples: of the last block."""
        began = self._began
        if not began.layers and samples and samples[0].finite:
            began = Beginning(loss=began.loss, layers=samples[0].layers)
        before = [self._last] if self._last is not None else []
        return origin([*before, *samples], began, self._outputs, self._at)

    def _begin(self, block: Block, samples: Sequence[Sample]) -> None:
        """Remember what the training began with, and whether its loss has moved since."""
        first = block.loss if math.isnan(self._began.loss) else self._began.loss
        layers = self._began.layers or (samples[0].layers if samples else {})
        self._began = Beginning(loss=first, layers=layers)
        if samples:
            self._last = samples[-1]
        if block.end > 1:  # the first step alone is one batch
            self._first_block = block.loss if math.isnan(self._first_block) else self._first_block
            self._moved |= block.loss < NOT_MOVED * self._first_block

    def _require_finite(self, block: Block) -> None:
        for sample in block.samples:
            if sample.finite or self._skips:
                continue
            name, norms = next((name, norms) for name, norms in sample.layers.items() if not norms.finite)
            part, value = next(pair for pair in norms._asdict().items() if not math.isfinite(pair[1]))
            what = f"the {part}'s norm of layer {name} is {value:.4g} at {self._at(sample.step)}"
            raise Diverged(f"{what}; {self.origin(block.samples)}")

    def _judge_overflow(self, block: Block, samples: Sequence[Sample]) -> None:
        """Steps that are left out because a gradient overflows are no harm, unless none is left."""
        over = not samples and any(not sample.finite for sample in block.samples)
        reason = "the gradients overflow float16 in every step, so that nothing is learnt"
        finding = self._lasting("exploding", "overflow", Symptom("", reason) if over else None, block)
        if finding is not None:
            raise Diverged(finding.reason)

    def _judge_explosion(self, block: Block, now: Sample | None) -> None:
        symptom = symptoms.exploding(block, now, self._began, self.settings, self._at)
        if (since := self._since.get("exploding")) is not None:
            start, lowest = since
            # What comes down from a spike halves again and again; a swing does so once.
            halved = block.loss < lowest / 2
            self._since["exploding"] = (block.start if halved else start, min(lowest, block.loss))
            if symptom is None and symptoms.much_worse(block, self._began, self.settings):
                return  # a swing passes through values that are only bad
        finding = self._lasting("exploding", "exploding", symptom, block)
        if finding is not None and self.settings.on_explosion == "stop":
            raise Diverged(f"exploding, {finding}")
        self.findings += [finding] if finding is not None else []

    def _judge(self, name: FindingName, symptom: Symptom | None, block: Block) -> None:
        finding = self._lasting(name, name, symptom, block)
        self.findings += [finding] if finding is not None else []

    def _lasting(self, name: FindingName, key: str, symptom: Symptom | None, block: Block) -> Finding | None:
        """The finding that a symptom becomes in this block. key: under which its beginning is kept."""
        if symptom is None:
            self._since.pop(key, None)
            return None
        start, _ = self._since.setdefault(key, (block.start, block.loss))
        lasted = block.end - start
        if lasted < self.settings.patience or any(finding.name == name for finding in self.findings):
            return None
        reason = f"{symptom.reason} (for {lasted} steps, up to {self._at(block.end - 1)})"
        return Finding(name=name, layer=symptom.layer, reason=reason)

    def _at(self, step: int) -> str:
        return f"step {step % self._steps_per_epoch + 1} of epoch {step // self._steps_per_epoch + 1}"

    def state(self) -> dict[str, Any]:
        """Plain values to go on from."""
        return {
            "findings": [asdict(finding) for finding in self.findings],
            "first_loss": self._began.loss,
            "first_norms": {name: list(norms) for name, norms in self._began.layers.items()},
            "first_block": self._first_block,
            "moved": self._moved,
            "since": {name: list(since) for name, since in self._since.items()},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where the state was taken; from the beginning where nothing was watched before."""
        self._restart()
        if state:
            self.findings = [Finding(**finding) for finding in state["findings"]]
            first = {name: Norms(*norms) for name, norms in state["first_norms"].items()}
            self._began = Beginning(loss=state["first_loss"], layers=first)
            self._first_block, self._moved = state["first_block"], state["moved"]
            self._since = {name: (start, loss) for name, (start, loss) in state["since"].items()}
