"""What `auto` means for a data set."""

from typing import Any

import pytest

from trainyard.data.manifest import BoxFacts, ImageFacts, Manifest, SplitFacts
from trainyard.errors import DataError
from trainyard.spec.job import Job
from trainyard.tasks.automatic import anchor_ratios, anchor_sizes, resolved
from trainyard.tasks.fitting import require_fit

BOXES = BoxFacts(
    most=20,
    widths=(36.0, 78.0, 100.0, 110.0, 210.0),
    heights=(36.0, 80.0, 100.0, 112.0, 190.0),
    ratios=(0.7, 0.92, 1.0, 1.1, 1.6),
)


def manifest_of(
    boxes: BoxFacts | None = BOXES, smallest: tuple[int, int] = (480, 640), largest: tuple[int, int] = (480, 640)
) -> Manifest:
    split = SplitFacts(
        rows=4,
        files=({"name": "a.parquet", "rows": 4},),  # type: ignore[arg-type]
        class_images=(4, 4),
        class_totals=(40, 40),
        boxes=boxes,
        pixel_mean=(0.5,) * 3,
        pixel_std=(0.2,) * 3,
        fingerprint="",
    )
    return Manifest(
        source="tests",
        annotation="boxes",
        classes=("cell", "platelet"),
        image=ImageFacts(channels=3, encoding="file", smallest=smallest, largest=largest),
        splits={"train": split, "val": split},
        fingerprint="",
    )


def job_of(anchors: dict[str, Any], **data: Any) -> Job:
    return Job.from_dict(
        {
            "name": "boxes",
            "task": "detection",
            "data": {"path": "data/set", **data},
            "model": {"name": "faster_rcnn", "anchors": anchors},
            "loss": {"classification": {}},
            "optimizer": {"name": "adamw", "lr": 0.001},
            "training": {"epochs": 1, "batch_size": 2},
            "objective": {"metric": "val/ap/platelet", "mode": "max"},
        }
    )


def anchors_of(job: Job) -> dict[str, Any]:
    return job.to_dict()["model"]["anchors"]


def test_sizes_are_the_quantiles_that_differ() -> None:
    # 36, 79.0, 100, 111.0, 199.7: the fourth is but 1.11 times the third, and 1 / 1.11^2 = 0.81 is above 0.8.
    assert anchor_sizes(BOXES) == [36.0, 79.0, 100.0, 199.7]
    # Boxes of one area and the ratios 1 and 1.43 overlap with 0.72, of 1 and 1.2 with 0.84.
    assert anchor_ratios(BOXES) == [0.7, 1.0, 1.6]
    close = BOXES.model_copy(update={"ratios": (1.0, 1.1, 1.2, 1.3, 1.4)})
    assert anchor_ratios(close) == [1.0, 1.4]


def test_equal_boxes_have_one_anchor() -> None:
    equal = BoxFacts(most=1, widths=(8.0,) * 5, heights=(16.0,) * 5, ratios=(2.0,) * 5)
    assert (anchor_sizes(equal), anchor_ratios(equal)) == ([11.3], [2.0])


AUTO = {"sizes": "auto", "ratios": "auto"}


@pytest.mark.parametrize(
    ("data", "sizes", "ratios"),
    [
        ({}, [36.0, 79.0, 100.0, 199.7], [0.7, 1.0, 1.6]),
        ({"image_size": [240, 320]}, [18.0, 39.5, 50.0, 99.9], [0.7, 1.0, 1.6]),
        # Heights by 1 and widths by 1/4: areas by 1/4, ratios by 4.
        ({"image_size": [480, 160]}, [18.0, 39.5, 50.0, 99.9], [2.8, 4.0, 6.4]),
        ({"image_size": [480, 160], "resize": "pad"}, [9.0, 19.7, 25.0, 49.9], [0.7, 1.0, 1.6]),
        ({"image_size": [480, 160], "resize": "crop"}, [36.0, 79.0, 100.0, 199.7], [0.7, 1.0, 1.6]),
    ],
    ids=["stored", "halved", "stretched", "padded", "cropped"],
)
def test_boxes_are_resized_as_their_images(data: dict[str, Any], sizes: list[float], ratios: list[float]) -> None:
    found = anchors_of(resolved(job_of(AUTO, **data), manifest_of()))
    assert found["sizes"] == pytest.approx(sizes, abs=0.11)
    assert found["ratios"] == ratios


def test_of_images_of_many_sizes_one_between_counts() -> None:
    found = anchors_of(
        resolved(job_of(AUTO, image_size=[200, 200]), manifest_of(None or BOXES, (100, 100), (400, 400)))
    )
    assert found["sizes"] == [36.0, 79.0, 100.0, 199.7]


def test_what_is_stated_stays() -> None:
    found = anchors_of(resolved(job_of({"sizes": [16, 32], "scale": 2.0}), manifest_of()))
    assert found == {"sizes": [16.0, 32.0], "ratios": [0.7, 1.0, 1.6], "scale": 2.0}
    job = job_of({"sizes": [16], "ratios": [1]})
    assert resolved(job, manifest_of()) is job


def test_without_boxes_nothing_can_be_told_and_the_job_is_refused_at_once() -> None:
    with pytest.raises(DataError, match=r"model.anchors.ratios is auto, and split train of data/set has no boxes"):
        require_fit(job_of({"sizes": [16]}), manifest_of(None))
    require_fit(job_of({"sizes": [16], "ratios": [1]}), manifest_of(None))
