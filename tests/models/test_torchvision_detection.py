"""torchvision's detectors, as ours."""

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import detection as theirs
from torchvision.models import get_model, get_model_builder, get_model_weights, list_models

from trainyard.errors import SpecError, TrialError
from trainyard.models.detector import Targets
from trainyard.models.torchvision_detection import TorchvisionDetection
from trainyard.spec import Job
from trainyard.spec.model import MODELS
from trainyard.spec.pretrained import DETECTION_BACKBONES, PUBLISHED_FOR_DETECTION, DetectionArchitecture

ARCHITECTURES = get_args(DetectionArchitecture)
COCO = 90
"""Classes up to which COCO counts, without the background."""

IMAGE = (3, 64, 96)
FAMILIES = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": {"classification", "box", "objectness", "proposal_box"},
    "retinanet_resnet50_fpn": {"classification", "box"},
    "fcos_resnet50_fpn": {"classification", "box", "centerness"},
    "ssdlite320_mobilenet_v3_large": {"classification", "box"},
}
TARGETS = Targets(
    boxes=torch.tensor([[[4.0, 4, 40, 36], [50, 20, 80, 60]], [[10, 10, 46, 50], [0, 0, 0, 0]]]),
    labels=torch.tensor([[0, 2], [1, -1]]),
    crowd=torch.zeros(2, 2, dtype=torch.bool),
)
NONE = Targets(torch.zeros(2, 1, 4), torch.full((2, 1), -1), torch.zeros(2, 1, dtype=torch.bool))


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, *IMAGE, generator=torch.Generator().manual_seed(1))


def model_of(architecture: str, *, outputs: int = 3, **settings: Any) -> TorchvisionDetection:
    return TorchvisionDetection(image=IMAGE, outputs=outputs, architecture=architecture, **settings)


def test_the_names_are_torchvisions() -> None:
    """Those whose answers are masks or points, too, are left out."""
    assert sorted(ARCHITECTURES) == [
        name for name in list_models(module=theirs) if not name.startswith(("maskrcnn", "keypointrcnn"))
    ]
    for name in ARCHITECTURES:
        published = [weights.name for weights in get_model_weights(name)]
        assert list(PUBLISHED_FOR_DETECTION[name]) == published
        assert callable(get_model_builder(name))
    assert set(DETECTION_BACKBONES) == {name for name in ARCHITECTURES if not name.startswith("ssdlite")}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_has_its_parameters(architecture: str) -> None:
    """As many as torchvision says of its weights. Those count what is constant in the norms, too: so do we, without
    pretrained weights."""
    with torch.device("meta"):
        model = model_of(architecture, outputs=COCO)
    said = get_model_weights(architecture).DEFAULT.meta["num_params"]
    constants = sum(
        parameter.numel()
        for module in model.net.get_submodule("backbone").modules()
        if isinstance(module, nn.BatchNorm2d)
        for parameter in module.parameters()
    )
    own = sum(parameter.numel() for parameter in model.parameters())
    assert said in (own, own - constants)


@pytest.mark.parametrize("architecture", FAMILIES)
def test_it_loses_and_finds(architecture: str, images: Tensor) -> None:
    model = model_of(architecture).train()
    losses, found = model(images, TARGETS)
    assert set(losses) == FAMILIES[architecture]
    assert found == []
    sum(losses.values()).backward()
    missing = {name for name, value in model.named_parameters() if value.requires_grad and value.grad is None}
    assert missing == set()

    model.eval()
    losses, found = model(images, TARGETS)
    assert set(losses) == FAMILIES[architecture]
    assert not any(module.training for module in model.modules())
    for one in found:
        assert len(one["labels"]) <= 100
        assert one["labels"].tolist() == [label for label in one["labels"].tolist() if 0 <= label < 3]
        assert one["boxes"].shape == (len(one["labels"]), 4)
        assert (one["boxes"] <= torch.tensor([96.0, 64, 96, 64])).all()
    assert model(images)[0] == {}
    assert all(loss.isfinite() for loss in model(images, NONE)[0].values())


@pytest.mark.parametrize("architecture", ["retinanet_resnet50_fpn", "fcos_resnet50_fpn"])
def test_what_is_found_is_of_the_classes_and_in_the_image(architecture: str, images: Tensor) -> None:
    """With the background, an output of its own, as sure as any class."""
    model = model_of(architecture).eval()
    nn.init.constant_(model.net.head.classification_head.cls_logits.bias, 2.0)
    for one in model(images)[1]:
        assert 0 < len(one["labels"]) <= 100
        assert one["boxes"].shape == (len(one["labels"]), 4)
        assert set(one["labels"].tolist()) <= {0, 1, 2}
        assert (one["boxes"] >= 0).all()
        assert (one["boxes"] <= torch.tensor([96.0, 64, 96, 64])).all()


def test_where_nothing_is_proposed_and_nothing_true_nothing_is_lost(images: Tensor) -> None:
    """This one proposes no box of which it isn't sure a little."""
    model = model_of("fasterrcnn_mobilenet_v3_large_fpn").train()
    nn.init.constant_(model.net.rpn.head.cls_logits.bias, -20.0)
    for targets in (NONE, Targets(TARGETS.boxes, torch.tensor([[0, 2], [-1, -1]]), TARGETS.crowd)):
        losses, _ = model(images, targets)
        assert all(loss.isfinite() for loss in losses.values())
        assert (losses["classification"] == 0) == (targets is NONE)
        sum(losses.values()).backward()
        assert all(value.grad is not None for value in model.net.roi_heads.box_predictor.parameters())


@pytest.mark.parametrize("architecture", FAMILIES)
def test_losses_are_means_over_the_images(architecture: str, images: Tensor) -> None:
    """In evaluation, in which what is sampled doesn't depend on the batch either."""
    model = model_of(architecture).eval()
    together, _ = model(images, TARGETS)
    alone = [model(images[own], Targets(*(part[own] for part in TARGETS)))[0] for own in (slice(0, 1), slice(1, 2))]
    for name, loss in together.items():
        torch.testing.assert_close(loss, torch.stack([one[name] for one in alone]).mean(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "architecture", ["retinanet_resnet50_fpn", "fcos_resnet50_fpn", "ssdlite320_mobilenet_v3_large"]
)
def test_the_losses_of_one_image_are_torchvisions(architecture: str, images: Tensor) -> None:
    model = model_of(architecture).eval()
    losses, _ = model(images[:1], Targets(*(part[:1] for part in TARGETS)))
    sizes = {} if architecture.startswith("ssd") else {"min_size": 64, "max_size": 96}
    net = get_model(architecture, weights=None, weights_backbone=None, num_classes=4, **sizes)
    net.load_state_dict(model.net.state_dict())
    net.eval()
    net.training = True
    expected = net([images[0]], [{"boxes": TARGETS.boxes[0], "labels": TARGETS.labels[0] + 1}])
    torch.testing.assert_close(losses["classification"], expected["classification"])
    torch.testing.assert_close(losses["box"], expected["bbox_regression"])


def test_images_are_normalised_once_and_not_resized(images: Tensor) -> None:
    model = model_of("retinanet_resnet50_fpn").eval()
    seen: list[Tensor] = []
    model.net.get_submodule("backbone").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(images)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(seen[0], (images - mean[:, None, None]) / std[:, None, None])
    plain = model_of("retinanet_resnet50_fpn", normalize="none").eval()
    plain.net.get_submodule("backbone").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    plain(images)
    torch.testing.assert_close(seen[1], images)


@pytest.mark.parametrize(
    ("weights_backbone", "std"),
    [
        (None, [0.229, 0.224, 0.225]),
        ("IMAGENET1K_V1", [0.229, 0.224, 0.225]),
        ("IMAGENET1K_FEATURES", [1 / 255, 1 / 255, 1 / 255]),
    ],
)
def test_ssd_normalises_as_its_backbone_was_trained(
    weights_backbone: str | None, std: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainyard.models.torchvision_detection._load_backbone", lambda *arguments: None)
    with torch.device("meta"):
        model = model_of("ssd300_vgg16", weights_backbone=weights_backbone)
    assert model.net.get_submodule("transform").image_std == pytest.approx(std)


def test_ssd_normalises_as_it_was_trained_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainyard.models.torchvision_detection.load_weights", lambda *arguments, **others: None)
    with torch.device("meta"):
        model = model_of("ssd300_vgg16", weights="COCO_V1")
    assert model.net.get_submodule("transform").image_std == pytest.approx([1 / 255] * 3)


def test_one_that_resizes_answers_in_pixels_of_the_images(images: Tensor) -> None:
    """All of an image of 64x96 is told to be found, in 320x320 of them."""
    model = model_of("ssdlite320_mobilenet_v3_large").eval()
    seen: list[tuple[int, ...]] = []
    model.net.get_submodule("backbone").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[2:]))
    nn.init.zeros_(model.net.head.regression_head.module_list[-1][1].weight)
    _, found = model(images)
    assert seen == [(320, 320)]
    assert torch.cat([one["boxes"] for one in found])[:, 2:].amax(0).tolist() == [96, 64]


def test_pretrained_weights_of_all_and_of_another_number_of_classes(tmp_path: Path) -> None:
    name = "ssdlite320_mobilenet_v3_large"
    state = get_model(name, weights=None, weights_backbone=None, num_classes=5).state_dict()
    torch.save(state, tmp_path / "ssd.pth")
    same = model_of(name, outputs=4, weights=str(tmp_path / "ssd.pth")).net.state_dict()
    assert all(torch.equal(same[path], tensor) for path, tensor in state.items())
    other = model_of(name, outputs=3, weights=str(tmp_path / "ssd.pth")).net.state_dict()
    drawn = {path for path, tensor in state.items() if not torch.equal(other[path], tensor)}
    assert len(drawn) == 2 * 6
    assert all(path.startswith("head.classification_head.module_list.") for path in drawn)


@pytest.mark.parametrize(
    ("name", "backbone", "first", "last"),
    [
        (
            "fasterrcnn_mobilenet_v3_large_fpn",
            "mobilenet_v3_large",
            ("body.0.0", "features.0.0"),
            ("body.16.0", "features.16.0"),
        ),
        ("retinanet_resnet50_fpn_v2", "resnet50", ("body.conv1", "conv1"), ("body.layer4.2.conv3", "layer4.2.conv3")),
        ("ssd300_vgg16", "vgg16", ("features.0", "features.0"), ("extra.0.5", "features.28")),
    ],
)
def test_pretrained_weights_of_the_backbone(
    name: str, backbone: str, first: tuple[str, str], last: tuple[str, str], tmp_path: Path
) -> None:
    with torch.device("meta"):
        source = get_model(backbone, weights=None, **({"init_weights": False} if "vgg" in backbone else {}))
    source.classifier = nn.Identity()  # missing in the file, and not needed
    for value in source.to_empty(device="cpu").state_dict().values():
        value.copy_(torch.rand(value.shape))
    torch.save(source.state_dict(), tmp_path / "backbone.pth")
    net = model_of(name, weights_backbone=str(tmp_path / "backbone.pth")).net
    for ours, its in (first, last):
        weight = net.get_submodule("backbone").get_parameter(f"{ours}.weight")
        assert torch.equal(weight, source.get_parameter(f"{its}.weight"))


def test_with_pretrained_weights_norms_are_constants_where_torchvisions_are(tmp_path: Path) -> None:
    source = get_model("resnet50", weights=None)
    torch.save(source.state_dict(), tmp_path / "resnet50.pth")
    expected = theirs.retinanet_resnet50_fpn(weights=None, weights_backbone=None)
    model = model_of("retinanet_resnet50_fpn", weights_backbone=str(tmp_path / "resnet50.pth"))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in expected.modules())


def test_what_is_frozen_is_not_trained() -> None:
    model = model_of("ssdlite320_mobilenet_v3_large", freeze=["backbone"]).train()
    assert not any(value.requires_grad for value in model.net.get_submodule("backbone").parameters())
    assert not model.net.get_submodule("backbone").training
    with pytest.raises(TrialError, match=r"freeze: no module or parameter is called backbon. Did you mean backbone"):
        model_of("ssdlite320_mobilenet_v3_large", freeze=["backbon"])


def test_boxes_are_float32_whatever_the_forward_pass_is(images: Tensor) -> None:
    model = model_of("retinanet_resnet50_fpn").eval()
    with torch.autocast("cpu", torch.bfloat16):
        losses, found = model(images, TARGETS)
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert {one["boxes"].dtype for one in found} == {torch.float32}


def test_its_settings_are_read_back() -> None:
    settings: dict[str, Any] = {"normalize": "none", "freeze": ["head"]}
    model = model_of("ssdlite320_mobilenet_v3_large", **settings)
    assert model.live_values() == {"architecture": "ssdlite320_mobilenet_v3_large", **settings}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"architecture": "fasterrcnn_resnet50"},
            'or ssdlite320_mobilenet_v3_large, got "fasterrcnn_resnet50". Did you',
        ),
        ({"weights": "IMAGENET1K_V1"}, "model.weights must be DEFAULT or COCO_V1 of fcos_resnet50_fpn, or a file"),
        ({"weights": "COCO_V1", "weights_backbone": "IMAGENET1K_V1"}, "model.weights has those of the backbone, too."),
        ({"weights_backbone": "COCO_V1"}, "model.weights_backbone must be DEFAULT, IMAGENET1K_V1 or IMAGENET1K_V2 of"),
        (
            {"architecture": "ssdlite320_mobilenet_v3_large", "weights_backbone": "IMAGENET1K_V1"},
            "model.weights_backbone doesn't fit ssdlite320_mobilenet_v3_large, whose backbone is a net of its own.",
        ),
        (
            {"architecture": "ssdlite320_mobilenet_v3_large", "workers": 2},
            "training.batch_size must be at least 2 x resources.workers for the model torchvision_detection as it is",
        ),
        (
            {"loss": "objectness"},
            "loss.objectness doesn't fit the model torchvision_detection, which answers with box, c",
        ),
    ],
    ids=["architecture", "weights", "both", "backbone", "ssdlite", "share", "loss"],
)
def test_what_does_not_fit_is_refused(model: dict[str, Any], message: str) -> None:
    settings = {"name": "torchvision_detection", "architecture": "fcos_resnet50_fpn", **model}
    with pytest.raises(SpecError) as caught:
        Job.from_dict(
            {
                "name": "boxes",
                "task": "detection",
                "data": {"path": "data/set"},
                "loss": {settings.pop("loss", "box"): {}},
                "model": settings,
                "optimizer": {"name": "adamw", "lr": 0.001},
                "training": {"epochs": 1, "batch_size": 2},
                "resources": {"workers": settings.pop("workers", 1)},
                "objective": {"metric": "val/map", "mode": "max"},
            }
        )
    assert message in "\n".join(problem.message for problem in caught.value.problems)


def test_files_of_weights_are_found_beside_the_job() -> None:
    model = MODELS["torchvision_detection"].model_validate(
        {"name": "torchvision_detection", "architecture": "fcos_resnet50_fpn", "weights_backbone": "weights/net.pth"}
    )
    assert list(model.files()) == [(("weights_backbone",), "weights/net.pth")]
    assert model.located(Path("/job")).settings["weights_backbone"] == "/job/weights/net.pth"
