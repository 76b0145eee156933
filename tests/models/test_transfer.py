"""Frozen features of pretrained nets, and the classifier on them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainyard.errors import StorageError, TrialError
from trainyard.models.features import FrozenFeatures, feature_extractor, last_maps, output_shape
from trainyard.models.torchvision import build_net
from trainyard.models.transfer import Transfer
from trainyard.spec.models.settings import Backbone

MakeModel = Callable[..., Any]
RESNET50 = {"architecture": "resnet50"}


def extractor(architecture: Any = "resnet18", *, side: int = 32, **settings: Any) -> FrozenFeatures:
    return feature_extractor(Backbone(architecture=architecture, **settings), (3, side, side))


def test_resnet50_has_the_parameters_and_statistics_of_its_workload(
    make_on_meta: MakeModel, count: Callable[..., int], statistics: Callable[[nn.Module], dict[str, Tensor]]
) -> None:
    model = make_on_meta("transfer", backbone=RESNET50, image=(3, 224, 224))
    assert count(model, trained=True) == 1_182_282
    assert count(model, trained=False) == 23_508_032
    assert sum(tensor.numel() for tensor in statistics(model).values()) == 53_120


def test_its_stem_has_those_of_the_other(make_on_meta: MakeModel, count: Callable[..., int]) -> None:
    """Keras counts the stem's bias, which torch's has not, and its batch norm's statistics: 78,026 in all."""
    model = make_on_meta("transfer", backbone=RESNET50 | {"until": "bn1"})
    assert count(model, trained=True) == 68_298
    assert count(model, trained=False) == 3 * 49 * 64 + 2 * 64
    assert 68_298 + count(model, trained=False) + 64 + 2 * 64 == 78_026


@pytest.mark.parametrize(
    ("architecture", "side", "shape"),
    [
        ("resnet50", 224, (2048, 7, 7)),
        ("vgg16", 224, (512, 7, 7)),
        ("densenet121", 224, (1024, 7, 7)),
        ("efficientnet_b0", 224, (1280, 7, 7)),
        ("convnext_tiny", 224, (768, 7, 7)),
        ("swin_t", 224, (768, 7, 7)),
        ("regnet_y_400mf", 224, (440, 7, 7)),
        ("mnasnet0_5", 224, (1280, 7, 7)),
        ("shufflenet_v2_x0_5", 224, (1024, 7, 7)),
        ("googlenet", 224, (1024, 7, 7)),
        ("inception_v3", 299, (2048, 8, 8)),
        ("squeezenet1_1", 224, (512, 13, 13)),
        ("alexnet", 224, (256, 6, 6)),
    ],
)
def test_features_are_the_last_maps_before_the_pooling(architecture: str, side: int, shape: tuple[int, ...]) -> None:
    # torchvision computes the widths of a RegNet with tensors, which meta has no numbers for.
    with torch.device("cpu" if architecture.startswith("regnet") else "meta"):
        assert output_shape(extractor(architecture, side=side), (3, side, side)) == shape


@pytest.mark.parametrize("node", ["maxpool", "layer2", "layer2.0", "layer2.1.relu_1"])
def test_they_end_at_a_node_that_the_net_itself_has(node: str) -> None:
    torch.manual_seed(0)
    found = extractor(until=node, normalize="none")
    torch.manual_seed(0)
    net = build_net("resnet18", image=(3, 32, 32), outputs=1000, initialise=True).eval()
    seen: list[Tensor] = []
    module = node.partition(".relu")[0]
    net.get_submodule(module).register_forward_hook(lambda *call: seen.append(call[2].clone()))
    images = torch.rand(2, 3, 32, 32)
    net(images)
    torch.testing.assert_close(found(images), seen[0])


def test_what_comes_after_the_node_is_forgotten() -> None:
    names = {name.partition(".")[0] for name in extractor(until="layer1").net.state_dict()}
    assert names == {"conv1", "bn1", "layer1"}


def test_they_may_be_numbers_from_after_the_pooling() -> None:
    assert output_shape(extractor(until="flatten"), (3, 32, 32)) == (512,)


def test_nothing_of_them_changes_whatever_train_says(statistics: Callable[[nn.Module], dict[str, Tensor]]) -> None:
    found = extractor(until="layer2")
    before = statistics(found)
    model = nn.Sequential(found, nn.Flatten())
    for _ in range(2):
        model.train()
        answer = model(torch.rand(4, 3, 32, 32, requires_grad=True))
        assert answer.grad_fn is None
        assert not any(module.training for module in found.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in statistics(found).items())
    assert not any(parameter.requires_grad for parameter in found.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"until": "layer5"}, "until: resnet18 has no node layer5. Did you mean layer4?"),
        (
            {"until": "(.*"},
            "until: resnet18 has no node (.*. It has x, conv1, bn1, relu, maxpool, avgpool, flatten, fc,",
        ),
    ],
)
def test_features_that_cannot_be_had(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TrialError) as refusal:
        extractor(**settings)
    assert message in str(refusal.value)


def test_weights_that_are_not_on_this_machine() -> None:
    with pytest.raises(StorageError, match=r"^the weights weights/none\.pth: there is no such file on this machine\."):
        extractor(weights="weights/none.pth")


def test_images_without_colours() -> None:
    with pytest.raises(TrialError, match=r"resnet18 takes images of 3 channels, got 1. Set data.channels: 3."):
        feature_extractor(Backbone(architecture="resnet18"), (1, 32, 32))


def test_images_that_are_too_small_for_the_net() -> None:
    with pytest.raises(TrialError, match=r"images of 8x8 don't fit: .*Set data.image_size."):
        output_shape(extractor("alexnet"), (3, 8, 8))


def test_weights_come_from_a_file_of_the_whole_net_and_of_its_part(tmp_path: Path) -> None:
    torch.manual_seed(5)
    net = build_net("shufflenet_v2_x0_5", image=(3, 32, 32), outputs=10, initialise=True).eval()
    state = net.state_dict()
    files = {"whole": state, "part": {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}}
    answers = []
    for name, tensors in files.items():
        torch.save(tensors, tmp_path / f"{name}.pth")
        found = extractor("shufflenet_v2_x0_5", weights=str(tmp_path / f"{name}.pth"), until="conv5")
        answers.append(found(torch.ones(1, 3, 32, 32)))
    assert torch.equal(*answers)
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.net.state_dict().items())


def test_only_the_part_that_is_used_must_be_there(tmp_path: Path) -> None:
    """As in torchvision's weights of VGG-16 that were trained for features only."""
    torch.manual_seed(5)
    net = build_net("squeezenet1_1", image=(3, 32, 32), outputs=10, initialise=True)
    state = {name: tensor for name, tensor in net.state_dict().items() if int(name.split(".")[1]) < 5}
    torch.save(state, tmp_path / "first.pth")
    weights = str(tmp_path / "first.pth")
    extractor("squeezenet1_1", weights=weights, until="features.4")
    with pytest.raises(TrialError, match=r"features.6.squeeze.weight is missing"):
        extractor("squeezenet1_1", weights=weights)


def test_every_default_node_is_there_for_every_architecture() -> None:
    assert {last_maps(name) for name in ("resnext50_32x4d", "wide_resnet50_2", "resnet18")} == {"layer4"}
    assert {last_maps(name) for name in ("vgg16_bn", "mobilenet_v2", "efficientnet_v2_s")} == {"features"}


def test_a_classifier_of_any_width_is_trained_on_them(make_model: MakeModel) -> None:
    backbone = {"architecture": "resnet18", "until": "relu"}
    model = make_model("transfer", image=(3, 40, 48), outputs=7, backbone=backbone, channels=[8, 9], dropout=0.25)
    assert model(torch.rand(2, 3, 40, 48)).shape == (2, 7)
    model.train()(torch.rand(2, 3, 40, 48)).sum().backward()
    assert {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None} == {"head"}
    assert model.live_values() == {
        "backbone": {**backbone, "normalize": "imagenet"},
        "channels": [8, 9],
        "dropout": 0.25,
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"backbone": {"architecture": "resnet18"}},
            "model transfer: the feature maps are 1x1 for images of 32x32, too small for 1 valid 3x3 convolutions",
        ),
        (
            {"backbone": {"architecture": "resnet18", "until": "avgpool"}},
            "model transfer: the feature maps are 1x1 for images of 32x32",
        ),
        (
            {"backbone": {"architecture": "resnet18", "until": "flatten"}},
            "until: flatten answers with 512 numbers for an image, not with feature maps.",
        ),
    ],
)
def test_feature_maps_that_are_of_no_use(make_on_meta: MakeModel, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TrialError) as refusal:
        make_on_meta("transfer", **settings)
    assert message in str(refusal.value)


def test_its_state_goes_round(make_model: MakeModel) -> None:
    settings: dict[str, Any] = {"backbone": {"architecture": "squeezenet1_1", "until": "features.1"}, "channels": [4]}
    model, other = (make_model("transfer", **settings) for _ in range(2))
    assert isinstance(model, Transfer)
    other.load_state_dict(model.state_dict())
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model.eval()(images), other.eval()(images))
        last = model.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
        torch.testing.assert_close(last, other(images), rtol=1e-4, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            assert model(images).shape == (2, 10)
