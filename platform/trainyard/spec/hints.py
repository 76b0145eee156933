"""Close matches for names that aren't known, and lists of those that are."""

from collections.abc import Iterable

SYNONYMS = {
    "learning_rate": "lr",
    "wd": "weight_decay",
    "l2": "weight_decay",
    "num_epochs": "epochs",
    "n_epochs": "epochs",
    "max_epochs": "epochs",
    "num_workers": "workers",
    "filters": "channels",
    "angle": "degrees",
    "grayscale": "greyscale",
    "hflip": "horizontal_flip",
    "vflip": "vertical_flip",
    "random_crop": "padding_crop",
    "gaussian_noise": "noise",
    "probability": "p",
    "gradient_clipping": "clip_grad_norm",
    "smoothing": "label_smoothing",
    "pos_weight": "positive_weight",
    "warmup": "warmup_epochs",
    "values": "choices",
    "options": "choices",
    "min": "low",
    "max": "high",
    "lower": "low",
    "upper": "high",
    "num_trials": "trials",
    "n_trials": "trials",
    "grace_period": "grace",
}
"""Names that other libraries use, and ours."""


def close(name: str, known: Iterable[str]) -> str:
    """` Did you mean x?`, or nothing when no known name is close."""
    best = closest(name, known)
    return f" Did you mean {best}?" if best else ""


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name most likely meant: ours for another library's word, a near spelling, the same last part."""
    # Imported here: most runs need no hint.
    from difflib import get_close_matches

    names = sorted(set(known))
    head, _, last = name.rpartition(".")
    last = SYNONYMS.get(last, last)
    siblings = {other.rpartition(".")[2]: other for other in names if other.rpartition(".")[0] == head}
    if last in siblings:
        return siblings[last]
    near = get_close_matches(last, siblings, n=1, cutoff=0.6)
    if near:
        return siblings[near[0]]
    cousins = [other for other in names if other.rpartition(".")[2] == last]
    if len(cousins) == 1:
        return cousins[0]
    whole = get_close_matches(name, names, n=1, cutoff=0.85) if cousins or not head else []
    return whole[0] if whole else None


def listing(names: Iterable[object], *, last: str = "or", most: int = 12) -> str:
    """`a, b or c`, cut off after so many."""
    shown = [str(name) for name in names]
    if len(shown) > most:
        shown = [*shown[: most - 1], f"{len(shown) - most + 1} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {last} {shown[-1]}"
