"""Which splits are cached and which are streamed."""

from typing import Any

import pytest

from trainyard.data.loading import STREAM_LEAST, STREAM_MOST, DataPlan, plan_data, readable
from trainyard.data.manifest import Annotation, BoxFacts, FileFacts, ImageFacts, Manifest, SplitFacts
from trainyard.data.shapes import DecodeSettings, decoded_row_bytes
from trainyard.errors import DataError, InfeasibleError
from trainyard.spec.training import DataSettings

FIVE = (1.0,) * 5


def facts(rows: int, boxes: BoxFacts | None) -> SplitFacts:
    files = (FileFacts(name="a.parquet", rows=rows),)
    numbers: dict[str, Any] = {"class_images": (rows,), "class_totals": (rows,), "pixel_mean": (0,), "pixel_std": (0,)}
    return SplitFacts(rows=rows, files=files, fingerprint="", boxes=boxes, **numbers)


def manifest(annotation: Annotation = "label", *, largest: tuple[int, int] = (10, 10), most: int = 0) -> Manifest:
    boxes = BoxFacts(most=most, widths=FIVE, heights=FIVE, ratios=FIVE) if annotation == "boxes" else None
    return Manifest(
        source="tests",
        annotation=annotation,
        classes=("thing",),
        image=ImageFacts(channels=3, encoding="file", smallest=(10, 10), largest=largest),
        splits={"train": facts(1000, boxes), "val": facts(100, boxes)},
        fingerprint="",
    )


def planned(free: int, streams: int = 1, **data: Any) -> DataPlan:
    return plan_data(manifest(), DataSettings(path="data/pets", **data), free=free, where="the store", streams=streams)


def loadings(plan: DataPlan) -> list[str]:
    return [split.loading for split in plan.splits]


def test_rows_take_what_their_columns_take() -> None:
    assert decoded_row_bytes(manifest(), "train", DecodeSettings()) == 300 + 8
    assert decoded_row_bytes(manifest(), "train", DecodeSettings(image_size=(4, 5), channels=1)) == 20 + 8
    assert decoded_row_bytes(manifest("mask"), "train", DecodeSettings()) == 300 + 100
    assert decoded_row_bytes(manifest("boxes", most=7), "train", DecodeSettings()) == 300 + 7 * (16 + 8 + 1)


def test_both_splits_are_cached_where_both_fit_the_share() -> None:
    plan = planned(free=600_000)
    assert [(split.split, split.rows, split.nbytes) for split in plan.splits] == [
        ("train", 1000, 308_000),
        ("val", 100, 30_800),
    ]
    assert (loadings(plan), plan.room, plan.streams) == (["cached", "cached"], 360_000, False)


def test_the_split_to_evaluate_on_comes_first() -> None:
    plan = planned(free=520_000)  # room for 312,000 bytes: the training split alone would fit
    assert loadings(plan) == ["streamed", "cached"]
    assert plan.streams


def test_what_does_not_fit_at_all_is_streamed() -> None:
    assert loadings(planned(free=10_000)) == ["streamed", "streamed"]


def test_one_split_for_both_counts_once() -> None:
    plan = planned(free=520_000, evaluate_split="train")
    assert [split.split for split in plan.splits] == ["train"]
    assert loadings(plan) == ["cached"]


@pytest.mark.parametrize("loading", ["cached", "streamed"])
def test_a_job_may_force_either(loading: str) -> None:
    assert loadings(planned(free=400_000, loading=loading)) == [loading, loading]


def test_what_is_forced_and_cannot_be_is_refused_with_the_figures() -> None:
    with pytest.raises(InfeasibleError) as refusal:
        planned(free=200_000, loading="cached")
    assert str(refusal.value) == (
        "data.loading=cached needs 331 KiB for val (30 KiB) and train (301 KiB), decoded, and the store has room for "
        "176 KiB. Set data.loading=auto, a data.image_size, or take machines with more memory."
    )


def test_images_of_several_sizes_need_a_size() -> None:
    with pytest.raises(DataError, match=r"the images of data/pets differ in size .*: state data.image_size"):
        plan_data(manifest(largest=(20, 30)), DataSettings(path="data/pets"), free=10**9)


def test_streams_share_what_is_left_within_bounds() -> None:
    assert planned(free=10**10).stream_bytes == STREAM_MOST
    assert planned(free=10**6).stream_bytes == STREAM_LEAST
    assert planned(free=10**9, streams=8, loading="streamed").stream_bytes == 50_000_000


@pytest.mark.parametrize(
    ("nbytes", "text"), [(999, "999 bytes"), (1100, "1.1 KiB"), (20_000, "20 KiB"), (1.5 * 2**40, "1536.0 GiB")]
)
def test_sizes_are_readable(nbytes: float, text: str) -> None:
    assert readable(nbytes) == text
