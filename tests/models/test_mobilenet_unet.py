"""The U-Net on MobileNetV2."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainyard.errors import TrialError
from trainyard.models.mobilenet_unet import MobilenetUnet

MakeModel = Callable[..., Any]

SMALL: dict[str, Any] = {"width": 0.1, "decoder": [8, 8, 8, 8]}


def test_it_has_the_parameters_of_the_tutorial(make_on_meta: MakeModel, count: Callable[..., int]) -> None:
    """With three outputs and a frozen encoder: 4,660,323 trainable; MobileNetV2 without its last layers below them."""
    net = make_on_meta("mobilenet_unet", image=(3, 128, 128), outputs=3, freeze=["encoder"])
    assert (count(net, trained=True), count(net, trained=False)) == (4_660_323, 1_811_712)
    buffers = sum(buffer.numel() for name, buffer in net.named_buffers() if "running" in name)
    assert buffers == 2 * (15_776 + 512 + 256 + 128 + 64)


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("size", [(32, 32), (45, 60), (33, 101)], ids=["least", "small", "odd"])
def test_any_size_is_answered_for_each_pixel(size: tuple[int, int], outputs: int) -> None:
    net = MobilenetUnet(image=(3, *size), outputs=outputs, **SMALL)
    assert net(torch.rand(2, 3, *size)).shape == (2, outputs, *size)
    assert net.eval()(torch.rand(1, 3, *size)).shape == (1, outputs, *size)


def test_each_level_of_the_encoder_is_joined() -> None:
    net = MobilenetUnet(image=(3, 64, 96), outputs=1, **SMALL)
    sizes: list[tuple[int, ...]] = []
    for level in net.encoder:
        level.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape[2:])))
    joined: list[Tensor] = []
    for enlarge in net.decoder:
        enlarge.register_forward_hook(lambda module, inputs, output: joined.append(output))
    net(torch.rand(2, 3, 64, 96))
    assert sizes == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    assert [tuple(maps.shape[1:]) for maps in joined] == [(8, *size) for size in reversed(sizes[:-1])]


@pytest.fixture(scope="module")
def mobilenet() -> nn.Module:
    """torchvision's, of a small width, with running statistics of its own."""
    from torchvision.models import mobilenet_v2

    torch.manual_seed(3)
    net = mobilenet_v2(width_mult=0.25, num_classes=7)
    net(torch.rand(2, 3, 32, 32))
    return net.eval()


def test_the_encoder_computes_what_mobilenet_does(mobilenet: nn.Module, tmp_path: Path) -> None:
    torch.save(mobilenet.state_dict(), tmp_path / "mobilenet.pth")
    weights = str(tmp_path / "mobilenet.pth")
    net = MobilenetUnet(image=(3, 64, 64), outputs=2, width=0.25, weights=weights).eval()
    images = torch.rand(1, 3, 64, 64)
    features = expected = net.normalization(images)
    for level in net.encoder:
        features = level(features)
    blocks = mobilenet.get_submodule("features")
    assert isinstance(blocks, nn.Sequential)
    for block in blocks[:18]:
        expected = block(expected)
    torch.testing.assert_close(features, expected)
    assert net.live_values()["weights"] == weights


def test_weights_of_another_width_are_refused(mobilenet: nn.Module, tmp_path: Path) -> None:
    torch.save(mobilenet.state_dict(), tmp_path / "mobilenet.pth")
    with pytest.raises(TrialError, match=r"mobilenet.pth don't fit mobilenet_v2: features.0.0.weight is 8x3x3x3 and"):
        MobilenetUnet(image=(3, 64, 64), outputs=2, weights=str(tmp_path / "mobilenet.pth"))


def test_weights_do_without_what_only_classifies(mobilenet: nn.Module, tmp_path: Path) -> None:
    used = {
        name: tensor for name, tensor in mobilenet.state_dict().items() if not name.startswith(("features.18", "c"))
    }
    torch.save(used, tmp_path / "encoder.pth")
    MobilenetUnet(image=(3, 64, 64), outputs=2, width=0.25, weights=str(tmp_path / "encoder.pth"))
    del used["features.17.conv.0.0.weight"]
    torch.save(used, tmp_path / "encoder.pth")
    with pytest.raises(TrialError, match=r"features.17.conv.0.0.weight is missing"):
        MobilenetUnet(image=(3, 64, 64), outputs=2, width=0.25, weights=str(tmp_path / "encoder.pth"))


def test_frozen_levels_keep_their_statistics_through_training(
    statistics: Callable[[nn.Module], dict[str, Tensor]],
) -> None:
    net = MobilenetUnet(image=(3, 64, 64), outputs=1, freeze=["encoder.0", "encoder.1"], **SMALL)
    before = statistics(net)
    net.train()(torch.rand(2, 3, 64, 64)).square().sum().backward()
    after = statistics(net)
    changed = {".".join(name.split(".")[:2]) for name in before if not torch.equal(before[name], after[name])}
    assert {name for name in changed if name.startswith("encoder")} == {"encoder.2", "encoder.3", "encoder.4"}
    assert all(parameter.grad is None for parameter in net.encoder[:2].parameters())


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ((3, 31, 64), "model mobilenet_unet: images of 31x64 are too small, it needs 32 pixels each way."),
        ((1, 64, 64), "it takes images of 3 channels, got 1. Set data.channels: 3."),
    ],
)
def test_images_that_it_cannot_take(image: tuple[int, int, int], message: str) -> None:
    with pytest.raises(TrialError) as refusal:
        MobilenetUnet(image=image, outputs=1)
    assert message in str(refusal.value)


def test_its_settings_are_read_back() -> None:
    settings: dict[str, Any] = {**SMALL, "normalize": "none", "freeze": ["encoder.0"], "dropout": 0.2}
    assert MobilenetUnet(image=(3, 32, 32), outputs=2, **settings).live_values() == settings
