"""Splits that a source does not have are made by a rule that depends on its seed and on names alone."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from trainyard.data.importing.splitting import SplitRule, Splitting, shuffled, split_entries
from trainyard.data.source import Entry, Listing
from trainyard.errors import DataError, UsageError

RULE = SplitRule()


def labelled(counts: dict[int, int], split: str | None = None) -> list[Entry]:
    """So many entries of each label."""
    return [
        Entry(name=f"{split}/{label}/{number}", label=label, split=split)
        for label, count in counts.items()
        for number in range(count)
    ]


def split(entries: Iterable[Entry], rule: SplitRule = RULE, annotation: Any = "label") -> Splitting:
    return split_entries(Listing(annotation=annotation, classes=("a", "b", "c"), entries=list(entries)), rule)


def sizes(splitting: Splitting) -> dict[str, int]:
    return {name: len(entries) for name, entries in splitting.splits.items()}


def labels(splitting: Splitting, name: str) -> Counter[int | None]:
    return Counter(entry.label for entry in splitting.splits[name])


def test_a_source_without_splits_gets_three() -> None:
    made = split(labelled({0: 50, 1: 30, 2: 20}))
    assert sizes(made) == {"train": 80, "val": 10, "test": 10}
    assert labels(made, "val") == labels(made, "test") == {0: 5, 1: 3, 2: 2}
    assert {name: (facts.taken_from, facts.fraction) for name, facts in made.made.items()} == {
        "train": ("all", 0.8),
        "val": ("all", 0.1),
        "test": ("all", 0.1),
    }


def test_a_source_without_val_gets_one_from_train() -> None:
    made = split([*labelled({0: 40, 1: 60}, "train"), *labelled({0: 7}, "test")])
    assert sizes(made) == {"train": 90, "val": 10, "test": 7}
    assert labels(made, "val") == {0: 4, 1: 6}
    [(name, facts)] = made.made.items()
    assert (name, facts.taken_from, facts.stratified, facts.seed) == ("val", "train", True, 0)


def test_a_source_with_a_val_is_left_alone() -> None:
    made = split([*labelled({0: 40}, "train"), *labelled({0: 7}, "val")])
    assert sizes(made) == {"train": 40, "val": 7}
    assert made.made == {}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (SplitRule(val=0), {"train": 90, "test": 10}),
        (SplitRule(test=0), {"train": 90, "val": 10}),
        (SplitRule(val=0, test=0), {"train": 100}),
        (SplitRule(val=0.25, test=0.5), {"train": 25, "val": 25, "test": 50}),
    ],
    ids=["no val", "no test", "neither", "large"],
)
def test_fractions(rule: SplitRule, expected: dict[str, int]) -> None:
    assert sizes(split(labelled({0: 60, 1: 40}), rule)) == expected


def test_nothing_was_made_where_nothing_was_asked_for() -> None:
    assert split(labelled({0: 60}), SplitRule(val=0, test=0)).made == {}


def test_the_order_of_the_listing_does_not_matter() -> None:
    entries = labelled({0: 50, 1: 30, 2: 20})
    one, other = split(entries), split(reversed(entries))
    assert {entry.name for entry in one.splits["val"]} == {entry.name for entry in other.splits["val"]}
    assert shuffled(entries, 0) == shuffled(reversed(entries), 0)


def test_another_seed_draws_others() -> None:
    entries = labelled({0: 50, 1: 30, 2: 20})
    one, other = split(entries), split(entries, SplitRule(seed=1))
    assert {entry.name for entry in one.splits["val"]} != {entry.name for entry in other.splits["val"]}
    assert shuffled(entries, 0) != shuffled(entries, 1)


def test_a_rare_class_is_in_train_first() -> None:
    made = split(labelled({0: 97, 1: 1, 2: 2}), SplitRule(val=0.4, test=0.4))
    assert labels(made, "train")[1] == 1
    assert labels(made, "train")[2] >= 1


def test_many_tiny_classes_are_shared_out_in_total() -> None:
    made = split(labelled(dict.fromkeys(range(100), 5)))
    assert sizes(made) == {"train": 400, "val": 50, "test": 50}


def test_classes_of_one_image_each() -> None:
    assert sizes(split(labelled(dict.fromkeys(range(10), 1)))) == {"train": 8, "val": 1, "test": 1}


def test_a_tiny_source_has_at_least_one_row_in_each_split() -> None:
    assert sizes(split(labelled({0: 2, 1: 1}))) == {"train": 1, "val": 1, "test": 1}


def test_a_source_that_is_too_small() -> None:
    with pytest.raises(DataError, match=r"2 images are too few for 3 splits. Make none of them: --val 0 --test 0"):
        split(labelled({0: 2}))
    with pytest.raises(DataError, match=r"1 image can't be shared between train and val. Do without val: --val 0"):
        split(labelled({0: 1}, "train"))


def test_images_with_boxes_are_shared_out_by_their_rarest_class(box: Callable[..., Any]) -> None:
    def entry(name: str, *found: int) -> Entry:
        return Entry(name=name, boxes=box(*([0, 0, 1, 1] for _ in found), labels=found))

    common = [entry(f"common{number}", 0, 0) for number in range(60)]
    rare = [entry(f"rare{number}", 0, 1) for number in range(20)]
    empty = [entry(f"empty{number}") for number in range(20)]
    made = split([*common, *rare, *empty], annotation="boxes")
    kinds = Counter(entry.name.rstrip("0123456789") for entry in made.splits["val"])
    assert kinds == {"common": 6, "rare": 2, "empty": 2}


def test_masks_are_drawn_without_strata() -> None:
    made = split([Entry(name=str(number), mask="m") for number in range(50)], annotation="mask")
    assert sizes(made) == {"train": 40, "val": 5, "test": 5}
    assert not made.made["val"].stratified


def test_splits_get_their_usual_names() -> None:
    entries = [
        *labelled({0: 3}, "Training"),
        *labelled({0: 2}, "valid"),
        *labelled({0: 1}, "TEST"),
        *labelled({0: 1}, "x"),
    ]
    assert sizes(split(entries)) == {"train": 3, "val": 2, "test": 1, "x": 1}


def test_two_names_for_one_split() -> None:
    with pytest.raises(DataError, match="splits named val and dev, which both mean val"):
        split([*labelled({0: 3}, "train"), *labelled({0: 2}, "val"), *labelled({0: 2}, "dev")])


def test_a_name_that_can_be_no_file() -> None:
    with pytest.raises(DataError, match=r"a split's name must be letters, .* got '\.\./train'"):
        split(labelled({0: 3}, "../train"))


def test_entries_without_a_split_among_others_with_one_are_left_out() -> None:
    made = split([*labelled({0: 20}, "train"), *labelled({0: 1})])
    assert sizes(made) == {"train": 18, "val": 2}
    assert [(problem.file, problem.reason) for problem in made.problems] == [
        ("None/0/0", "it is in no split, but others are")
    ]


@pytest.mark.parametrize(("val", "test"), [(-0.1, 0), (1, 0), (0.5, 0.5)])
def test_fractions_that_leave_no_train(val: float, test: float) -> None:
    with pytest.raises(UsageError, match="must be at least 0 and together below 1"):
        SplitRule(val=val, test=test)
