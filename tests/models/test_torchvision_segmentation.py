"""torchvision's segmentation models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from trainyard.errors import TrialError
from trainyard.models.torchvision_segmentation import TorchvisionSegmentation
from trainyard.spec.pretrained import PUBLISHED_FOR_SEGMENTATION, SegmentationArchitecture

MakeModel = Callable[..., Any]

SMALLEST = "lraspp_mobilenet_v3_large"
AUXILIARY = {
    "deeplabv3_mobilenet_v3_large": 3_851,
    "deeplabv3_resnet101": 2_365_205,
    "deeplabv3_resnet50": 2_365_205,
    "fcn_resnet101": 2_365_205,
    "fcn_resnet50": 2_365_205,
    "lraspp_mobilenet_v3_large": 0,
}
"""Parameters of the heads that are left out: of 21 classes, on 1,024 maps or on 40."""


def test_the_names_are_those_that_torchvision_lists() -> None:
    import torchvision

    listed = torchvision.models.list_models(module=torchvision.models.segmentation)
    assert list(get_args(SegmentationArchitecture)) == listed


def test_the_weights_are_those_that_torchvision_publishes() -> None:
    from torchvision.models import get_model_weights

    names = get_args(SegmentationArchitecture)
    assert {
        name: tuple(weights.name for weights in get_model_weights(name)) for name in names
    } == PUBLISHED_FOR_SEGMENTATION


@pytest.mark.parametrize("architecture", AUXILIARY)
def test_each_answers_for_each_pixel_without_its_auxiliary_head(
    architecture: str, make_on_meta: MakeModel, count: Callable[..., int]
) -> None:
    from torchvision.models import get_model_weights

    net = make_on_meta("torchvision_segmentation", architecture=architecture, image=(3, 45, 60), outputs=21)
    assert count(net) == get_model_weights(architecture)["DEFAULT"].meta["num_params"] - AUXILIARY[architecture]
    assert net(torch.empty(2, 3, 45, 60, device="meta")).shape == (2, 21, 45, 60)


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """What torchvision's weights of the smallest look like, and an auxiliary head as others have it."""
    from torchvision.models import get_model

    torch.manual_seed(3)
    net = get_model(SMALLEST, weights=None, weights_backbone=None, num_classes=21)
    return {**net.state_dict(), "aux_classifier.0.weight": torch.zeros(3)}


def test_weights_for_other_classes_keep_all_but_the_head(
    make_model: MakeModel, published: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(published, tmp_path / "voc.pth")
    settings: dict[str, Any] = {"architecture": SMALLEST, "weights": str(tmp_path / "voc.pth"), "image": (3, 32, 32)}
    net = make_model("torchvision_segmentation", outputs=4, **settings)
    assert isinstance(net, TorchvisionSegmentation)
    differing = {name for name, tensor in net.net.state_dict().items() if not same(tensor, published[name])}
    heads = ("classifier.low_classifier", "classifier.high_classifier")
    assert differing == {f"{head}.{name}" for head in heads for name in ("weight", "bias")}
    whole = make_model("torchvision_segmentation", outputs=21, **settings)
    assert all(same(tensor, published[name]) for name, tensor in whole.net.state_dict().items())
    assert whole.live_values()["weights"] == settings["weights"]


def same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


def test_a_frozen_backbone_keeps_its_statistics(
    make_model: MakeModel, statistics: Callable[[nn.Module], dict[str, Tensor]]
) -> None:
    net = make_model("torchvision_segmentation", architecture=SMALLEST, freeze=["backbone"], image=(3, 32, 32))
    before = statistics(net)
    net.train()(torch.rand(2, 3, 32, 32)).square().sum().backward()
    after = statistics(net)
    changed = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"classifier"}
    assert {name.split(".")[1] for name, p in net.named_parameters() if p.grad is not None} == {"classifier"}


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ((3, 31, 64), "model torchvision_segmentation: images of 31x64 are too small, it needs 32 pixels each way."),
        ((1, 64, 64), f"{SMALLEST} takes images of 3 channels, got 1. Set data.channels: 3."),
    ],
)
def test_images_that_it_cannot_take(image: tuple[int, int, int], message: str) -> None:
    with pytest.raises(TrialError) as refusal:
        TorchvisionSegmentation(image=image, outputs=2, architecture=SMALLEST)
    assert message in str(refusal.value)


def test_its_settings_are_read_back(make_on_meta: MakeModel) -> None:
    settings: dict[str, Any] = {"architecture": SMALLEST, "normalize": "none", "freeze": ["backbone.0"]}
    net = make_on_meta("torchvision_segmentation", image=(3, 32, 32), **settings)
    assert net.live_values() == settings
