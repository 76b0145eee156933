"""Where a divergence began, as far as the norms of the layers tell. Pure functions of numbers."""

import math
from collections.abc import Iterator, Mapping, Sequence

from trainyard.training.gradients.norms import Sample
from trainyard.training.gradients.symptoms import At, Beginning

STANDS_OUT = 10.0
"""Growth from which on a layer is named as the one where a divergence began."""


def origin(samples: Sequence[Sample], began: Beginning, outputs: Mapping[str, int], at: At) -> str:
    """A sentence on what the samples, of which the last may be past all bounds, show. outputs: of each layer of which
    they are known.
    """
    if not samples:
        return "no layer stands out"
    bad = next((index for index, sample in enumerate(samples) if not sample.finite), len(samples) - 1)
    sample, before = samples[bad], samples[max(0, bad - 1) : bad]
    if sample.step == 0 and (amplifying := _most_amplifying(sample, outputs)):
        return amplifying
    return (
        _broken_on_the_way(sample, at)
        or _most_grown([*before, sample], began, at)
        or f"it came over all layers at once at {at(sample.step)}, and none had grown before: look at the data"
    )


def _broken_on_the_way(sample: Sample, at: At) -> str:
    """Gradients run from the output to the input, and NaN in them too: it began in the layer nearest to the output."""
    bad = [name for name, norms in sample.layers.items() if not math.isfinite(norms.gradient)]
    if not 0 < len(bad) < len(sample.layers):
        return ""
    value = sample.layers[bad[-1]].gradient
    return f"it began in layer {bad[-1]}, whose gradient's norm was {value:.4g} at {at(sample.step)}"


def _most_grown(samples: Sequence[Sample], began: Beginning, at: At) -> str:
    evidence = [found for sample in samples for found in _growth(sample, began, at)]
    times, sentence = max(evidence, default=(0.0, ""))
    return sentence if times >= STANDS_OUT else ""


def _growth(sample: Sample, began: Beginning, at: At) -> Iterator[tuple[float, str]]:
    """By how much each layer differs from its beginning, and by how much the step changed it."""
    when = at(sample.step)
    for name, norms in sample.layers.items():
        if name in began.layers:
            for part in ("gradient", "weight"):
                before, now = getattr(began.layers[name], part), getattr(norms, part)
                if before > 0 and math.isfinite(now):
                    what = "its gradient's norm" if part == "gradient" else "its weights' norm"
                    yield now / before, f"layer {name} stood out: {what} was {now:.3g} at {when} (first {before:.3g})"
        if norms.ratio is not None and math.isfinite(norms.ratio):
            yield norms.ratio, f"layer {name} stood out: {when} changed it by {norms.ratio:.3g} times its weights"


def _most_amplifying(sample: Sample, outputs: Mapping[str, int]) -> str:
    """Of independent inputs with variance 1, weights with norm w make n outputs with variance w^2 / n on average."""
    gains = {
        name: norms.weight / math.sqrt(outputs[name])
        for name, norms in sample.layers.items()
        if math.isfinite(norms.weight) and name in outputs
    }
    large = [name for name in gains if gains[name] >= STANDS_OUT]
    if not large:
        return ""
    layer = max(large, key=gains.__getitem__)
    others = f", and {len(large) - 1} others are like it" if large[1:] else ""
    times = f"about {gains[layer]:.3g} times as large"
    return f"layer {layer} stood out: its first weights make what it is given {times}{others}"
