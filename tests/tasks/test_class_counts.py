"""What class weights are made of, by a data set's manifest."""

import pytest

from trainyard.data.manifest import Annotation, FileFacts, ImageFacts, Manifest, SplitFacts
from trainyard.losses.class_weights import ClassCounts
from trainyard.tasks.build import class_counts


def manifest_of(annotation: Annotation, *, images: tuple[int, ...], totals: tuple[int, ...], void: int = 0) -> Manifest:
    rows = sum(totals) if annotation == "label" else 10
    split = SplitFacts(
        rows=rows,
        files=(FileFacts(name="a.parquet", rows=rows),),
        class_images=images,
        class_totals=totals,
        void_pixels=void,
        pixel_mean=(0.5,),
        pixel_std=(0.1,),
        fingerprint="",
    )
    return Manifest(
        source="tests",
        annotation=annotation,
        classes=("a", "b", "c"),
        image=ImageFacts(channels=1, encoding="file", smallest=(8, 8), largest=(8, 8)),
        splits={"train": split},
        fingerprint="",
    )


def test_of_labels_images_are_counted() -> None:
    manifest = manifest_of("label", images=(5, 2, 3), totals=(5, 2, 3))
    assert class_counts(manifest, "train") == ClassCounts((5, 2, 3))


def test_of_masks_pixels_are_counted_and_those_of_the_images_that_have_the_class() -> None:
    manifest = manifest_of("mask", images=(10, 4, 0), totals=(500, 100, 0), void=40)
    counts = class_counts(manifest, "train")
    assert counts.totals == (500, 100, 0)
    assert counts.around == pytest.approx([640, 4 * 64, 0])
