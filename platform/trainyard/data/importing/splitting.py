"""Which split each entry of a source is in, where the source does not say: a seeded, stratified rule."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trainyard.data.manifest import MadeSplit
from trainyard.data.source import Entry, Listing, Problem
from trainyard.errors import DataError, UsageError

USUAL_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
_USUAL = {other: name for name, others in USUAL_NAMES.items() for other in others}
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """How missing splits are made. val, test: fractions, 0 for none.

    A source without splits gets train, val and test; one with train but no val gets a val from train. Nothing else is
    made: a source that has a val is one whose author has decided.
    """

    val: float = 0.1
    test: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.val < 1 and 0 <= self.test < 1 and self.val + self.test < 1):
            raise UsageError(
                "the fractions of val and test must be at least 0 and together below 1, "
                f"got {self.val:g} and {self.test:g}."
            )


@dataclass(frozen=True, kw_only=True)
class Splitting:
    """splits: name to entries, in the order of the listing; train, val and test first. made: those of the rule."""

    splits: Mapping[str, Sequence[Entry]]
    made: Mapping[str, MadeSplit]
    problems: Sequence[Problem]


def usual_name(split: str) -> str:
    """`val` for `Validation`, `valid` or `dev`, and so on; other names stay as they are."""
    return _USUAL.get(split.lower(), split)


def split_entries(listing: Listing, rule: SplitRule) -> Splitting:
    """DataError for too few entries and for names that can't be files, or that mean the same split."""
    stated = _stated_splits(listing.entries)
    loose = [entry for entry in listing.entries if entry.split is None]
    stratified = listing.annotation != "mask"
    if not stated:
        parts, made = _from_all(loose, rule, listing), {"val": rule.val, "test": rule.test}
        made["train"] = 1 - rule.val - rule.test
        taken_from, problems = "all", []
    else:
        parts, made, taken_from = stated, {}, "train"
        problems = [
            Problem(file=entry.name, reason="it is in no split, but others are", kind="in no split") for entry in loose
        ]
        if "train" in stated and "val" not in stated and rule.val:
            train = stated["train"]
            val = _drawn(train, _strata(train, listing), rule.val, seed=rule.seed, purpose="val")
            parts, made = stated | _parted(train, {"val": val}), {"val": rule.val}
    made = {name: fraction for name, fraction in made.items() if fraction and len(parts) > 1}
    return Splitting(
        splits={name: parts[name] for name in sorted(parts, key=split_order)},
        made={
            name: MadeSplit(taken_from=taken_from, fraction=fraction, stratified=stratified, seed=rule.seed)
            for name, fraction in sorted(made.items(), key=lambda item: split_order(item[0]))
        },
        problems=problems,
    )


def shuffled(entries: Iterable[Entry], seed: int) -> list[Entry]:
    """In a random order that depends on the seed and the entries' names alone."""
    return sorted(entries, key=lambda entry: (_draw(seed, "order", entry.name), entry.name))


def _stated_splits(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    spelled: dict[str, str] = {}
    splits: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.split is None:
            continue
        name = usual_name(entry.split)
        if spelled.setdefault(name, entry.split) != entry.split:
            raise DataError(
                f"the source has splits named {spelled[name]} and {entry.split}, which both mean {name}. Rename one."
            )
        splits[name].append(entry)
    for name in splits:
        if not _PLAIN.fullmatch(name):
            raise DataError(f"a split's name must be letters, digits, `_`, `.` and `-`, got {name!r}. Rename it.")
    return dict(splits)


def _from_all(entries: list[Entry], rule: SplitRule, listing: Listing) -> dict[str, list[Entry]]:
    needed = 1 + bool(rule.val) + bool(rule.test)
    if len(entries) < needed:
        raise DataError(f"{len(entries)} images are too few for {needed} splits. Make none of them: --val 0 --test 0")
    strata = _strata(entries, listing)
    test = _drawn(entries, strata, rule.test, seed=rule.seed, purpose="test")
    rest = [entry for entry in entries if entry.name not in test]
    fraction = rule.val / (1 - rule.test)
    val = _drawn(rest, strata, fraction, seed=rule.seed, purpose="val", total=round(rule.val * len(entries)))
    return _parted(entries, {"val": val, "test": test})


def _parted(entries: Iterable[Entry], taken: Mapping[str, set[str]]) -> dict[str, list[Entry]]:
    parts: dict[str, list[Entry]] = {name: [] for name in ("train", *(name for name in taken if taken[name]))}
    for entry in entries:
        parts[next((split for split, names in taken.items() if entry.name in names), "train")].append(entry)
    return parts


def _strata(entries: Iterable[Entry], listing: Listing) -> dict[str, int | None]:
    """Entry's name to what is to be shared out evenly: its label, the rarest class of its boxes, or nothing."""
    if listing.annotation == "label":
        return {entry.name: entry.label for entry in entries}
    if listing.annotation == "mask":
        return dict.fromkeys((entry.name for entry in entries), None)
    held = {
        entry.name: set() if entry.boxes is None else {int(label) for label in entry.boxes.labels} for entry in entries
    }
    images = Counter(label for labels in held.values() for label in labels)
    return {name: min(labels, key=lambda label: (images[label], label), default=None) for name, labels in held.items()}


def _drawn(
    entries: Sequence[Entry],
    strata: Mapping[str, int | None],
    fraction: float,
    *,
    seed: int,
    purpose: str,
    total: int | None = None,
) -> set[str]:
    """The names of about `fraction` of the entries, of each stratum its share, at least one entry altogether.

    Each stratum keeps one entry back, so that none is missing from train, unless nothing could be drawn then.
    DataError if there are too few to leave any.
    """
    if not fraction:
        return set()
    if len(entries) < 2:
        raise DataError(f"1 image can't be shared between train and {purpose}. Do without {purpose}: --{purpose} 0")
    groups: dict[int | None, list[str]] = defaultdict(list)
    for entry in entries:
        groups[strata[entry.name]].append(entry.name)
    wanted = max(1, round(fraction * len(entries)) if total is None else total)
    room = {stratum: len(names) - 1 for stratum, names in groups.items()}
    if not any(room.values()):
        room = dict.fromkeys(groups, 1)
        wanted = min(wanted, len(entries) - 1)
    quotas = _quotas({stratum: fraction * len(names) for stratum, names in groups.items()}, room, wanted, seed, purpose)
    chosen: set[str] = set()
    for stratum, names in groups.items():
        chosen.update(sorted(names, key=lambda name: (_draw(seed, purpose, name), name))[: quotas[stratum]])
    return chosen


def _quotas(
    shares: Mapping[int | None, float], room: Mapping[int | None, int], wanted: int, seed: int, purpose: str
) -> dict[int | None, int]:
    """Whole numbers close to the shares that add up to `wanted`, as far as there is room: largest remainder first."""
    quotas = {stratum: min(int(share), room[stratum]) for stratum, share in shares.items()}
    by_remainder = sorted(
        shares,
        key=lambda stratum: (quotas[stratum] - shares[stratum], _draw(seed, f"{purpose} stratum", str(stratum))),
    )
    missing = wanted - sum(quotas.values())
    for stratum in by_remainder:
        if missing > 0 and quotas[stratum] < room[stratum]:
            quotas[stratum] += 1
            missing -= 1
    return quotas


def split_order(name: str) -> tuple[int, str]:
    """train, val, test, then the others by name."""
    usual = list(USUAL_NAMES)
    return (usual.index(name) if name in usual else len(usual), name)


def _draw(seed: int, purpose: str, name: str) -> bytes:
    """A random number of a name: the same on any machine and with any version of a library, whatever else there is."""
    return hashlib.blake2b(f"{seed}\0{purpose}\0{name}".encode(errors="surrogateescape"), digest_size=8).digest()
