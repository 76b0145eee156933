"""The settings of models that segment, and what is refused before anything is imported."""

from typing import Any

import pytest
import torch

from trainyard.data.manifest import ImageFacts, Manifest, SplitFacts
from trainyard.errors import DataError, SpecError
from trainyard.models.build import build_model
from trainyard.spec import Job
from trainyard.tasks.fitting import require_fit

DATA: dict[str, Any] = {
    "name": "scenes",
    "task": "semantic_segmentation",
    "data": {"path": "data/scenes"},
    "loss": {"cross_entropy": {}},
    "optimizer": {"name": "adam", "lr": 1e-3},
    "training": {"epochs": 1, "batch_size": 2},
    "objective": {"metric": "val/miou", "mode": "max"},
}
FACTS = SplitFacts(
    rows=0, files=(), class_images=(0,), class_totals=(0,), pixel_mean=(0,), pixel_std=(0,), fingerprint=""
)
MANIFEST = Manifest(
    source="tests",
    annotation="mask",
    classes=("a",),
    image=ImageFacts(channels=3, encoding="file", smallest=(500, 500), largest=(500, 600)),
    splits={"train": FACTS, "val": FACTS},
    fingerprint="",
)
DEEPLAB = {"name": "torchvision_segmentation", "architecture": "deeplabv3_resnet50"}


def job_of(model: dict[str, Any], **sections: Any) -> Job:
    return Job.from_dict(DATA | {"model": model} | sections)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"name": "fast_scnn", "width": 0.05}, "model.width must be >= 0.1, got 0.05."),
        ({"name": "fast_scnn", "blocks": [3, 3]}, "model.blocks is too short: item 3 is missing."),
        (
            {"name": "deconvolution_net", "channels": [8, 8, 8], "convolutions": [2, 2]},
            "model.convolutions must have one number for each of model.channels, got 2 for 3.",
        ),
        (
            {"name": "deconvolution_net", "unpooling": "index"},
            'model.unpooling must be indices or none, got "index". Did you mean indices?',
        ),
        (
            {"name": "mobilenet_unet", "weights": "IMAGENET1K_V3"},
            "model.weights must be DEFAULT, IMAGENET1K_V1 or IMAGENET1K_V2 of mobilenet_v2, or a file",
        ),
        (
            {"name": "mobilenet_unet", "weights": "IMAGENET1K_V1", "width": 0.5},
            "model.weights=IMAGENET1K_V1 are of MobileNetV2 as it is, of width 1, got model.width=0.5. Leave out "
            "weights, or set width: 1.0.",
        ),
        ({"name": "mobilenet_unet", "decoder": [8, 8, 8]}, "model.decoder is too short: item 4 is missing."),
        (
            {"name": "torchvision_segmentation", "architecture": "resnet50"},
            "model.architecture must be deeplabv3_mobilenet_v3_large, deeplabv3_resnet101, deeplabv3_resnet50, "
            'fcn_resnet101, fcn_resnet50 or lraspp_mobilenet_v3_large, got "resnet50".',
        ),
        (
            DEEPLAB | {"weights": "IMAGENET1K_V1"},
            "model.weights must be DEFAULT or COCO_WITH_VOC_LABELS_V1 of deeplabv3_resnet50, or a file",
        ),
    ],
    ids=lambda value: "-".join(map(str, value.values()))[:40] if isinstance(value, dict) else "",
)
def test_a_model_that_cannot_be(model: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        job_of(model)
    assert message in "\n".join(problem.message for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("model", "other"),
    [
        (DEEPLAB, {"architecture": "fcn_resnet50"}),
        ({"name": "deconvolution_net", "middle": 64}, {"norm": "group"}),
        ({"name": "deconvolution_net", "middle": 64}, {"middle": None}),
    ],
    ids=["deeplab", "norm", "middle"],
)
def test_where_norms_see_a_single_number_a_worker_needs_two_images(
    model: dict[str, Any], other: dict[str, Any]
) -> None:
    training, two = {"epochs": 1, "batch_size": 2}, {"workers": 2}
    message = rf"training.batch_size must be at least 2 x resources.workers for the model {model['name']} as it is"
    with pytest.raises(SpecError, match=message):
        job_of(model, training=training, resources=two)
    job_of(model, training={**training, "batch_size": 4}, resources=two)
    job_of(model | other, training=training, resources=two)


@pytest.mark.parametrize(
    ("model", "least"),
    [
        ({"name": "fast_scnn"}, 32),
        ({"name": "mobilenet_unet"}, 32),
        (DEEPLAB, 32),
        ({"name": "unet", "channels": [4, 4, 4, 4, 4, 4, 4]}, 64),
        ({"name": "deconvolution_net", "channels": [4, 4, 4]}, 8),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_images_that_are_too_small_are_refused_before_anything_starts(model: dict[str, Any], least: int) -> None:
    small, large = ({"path": "data/scenes", "image_size": [side, 200]} for side in (least - 1, least))
    require_fit(job_of(model, data=large), MANIFEST)
    message = f"{model['name']} needs images of {least} pixels each way, those of data/scenes are {least - 1}x200."
    with pytest.raises(DataError, match=message):
        require_fit(job_of(model, data=small), MANIFEST)


@pytest.mark.parametrize(
    ("model", "single"),
    [
        ({"name": "fast_scnn"}, 32),
        ({"name": "mobilenet_unet"}, 32),
        ({"name": "unet", "channels": [4, 4, 4]}, 7),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_images_that_come_down_to_one_position_need_two_for_a_worker(model: dict[str, Any], single: int) -> None:
    """As the models themselves have it: in training they fail on one such image, and on no larger one."""

    def fit(*size: int, batch_size: int = 1) -> None:
        data = {"path": "data/scenes", "image_size": list(size)}
        require_fit(job_of(model, data=data, training={"epochs": 1, "batch_size": batch_size}), MANIFEST)

    def train(*size: int, images: int = 1) -> None:
        build_model(job_of(model).model, (3, *size), 2).train()(torch.rand(images, 3, *size))

    with pytest.raises(DataError, match=rf"model {model['name']} brings images of {single}x{single} down to a single"):
        fit(single, single)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        train(single, single)
    for size, images in (((single, single + 1), 1), ((single, single), 2)):
        fit(*size, batch_size=images)
        train(*size, images=images)


@pytest.mark.parametrize(
    "model",
    [
        {"name": "fast_scnn", "width": 1, "blocks": [1, 2, 3]},
        {"name": "deconvolution_net", "convolutions": [1, 2, 2, 3], "middle": 64, "unpooling": "none"},
        {"name": "mobilenet_unet", "weights": "DEFAULT", "freeze": ["encoder"]},
        {"name": "mobilenet_unet", "weights": "weights/small.pth", "width": 0.5},
        DEEPLAB | {"weights": "COCO_WITH_VOC_LABELS_V1", "freeze": ["backbone"]},
    ],
    ids=lambda model: "-".join(map(str, model.values()))[:40],
)
def test_a_model_comes_back_from_what_it_is_written_as(model: dict[str, Any]) -> None:
    job = job_of(model, data={"path": "data/scenes", "image_size": "auto", "resize": "pad"})
    assert Job.from_dict(job.to_dict()) == job
    assert job.data.image_size == "auto"
