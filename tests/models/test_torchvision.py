"""torchvision's classification models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from trainyard.errors import TrialError
from trainyard.models.states import to_bytes
from trainyard.models.torchvision import Torchvision, build_net, head_of
from trainyard.spec.pretrained import PUBLISHED, WITH_DROPOUT, Architecture

MakeModel = Callable[..., Any]

HEADS = {
    "alexnet": "classifier.6",
    "convnext_tiny": "classifier.2",
    "densenet121": "classifier",
    "efficientnet_b0": "classifier.1",
    "googlenet": "fc",
    "inception_v3": "fc",
    "maxvit_t": "classifier.5",
    "mnasnet0_5": "classifier.1",
    "mobilenet_v2": "classifier.1",
    "mobilenet_v3_small": "classifier.3",
    "regnet_y_400mf": "fc",
    "resnet18": "fc",
    "shufflenet_v2_x0_5": "fc",
    "squeezenet1_1": "classifier.1",
    "swin_t": "head",
    "vgg11_bn": "classifier.6",
    "vit_b_32": "heads.head",
}
"""One of each family, and its last layer."""


def test_the_names_are_those_that_torchvision_lists() -> None:
    import torchvision

    assert list(get_args(Architecture)) == torchvision.models.list_models(module=torchvision.models)


def test_the_weights_are_those_that_torchvision_publishes() -> None:
    from torchvision.models import get_model_weights

    listed = {name: tuple(weights.name for weights in get_model_weights(name)) for name in get_args(Architecture)}
    assert listed == PUBLISHED


@pytest.mark.parametrize("architecture", HEADS)
def test_the_head_is_for_the_classes_of_the_job(
    make_on_meta: MakeModel, make_model: MakeModel, architecture: str
) -> None:
    side = 299 if architecture == "inception_v3" else 224
    # torchvision computes the widths of a RegNet with tensors, which meta has no numbers for.
    make = make_model if architecture.startswith("regnet") else make_on_meta
    model = make("torchvision", architecture=architecture, image=(3, side, side), outputs=7).to("meta")
    assert isinstance(model, Torchvision)
    assert head_of(model.net)[0] == f"{HEADS[architecture]}.weight"
    assert model.net.get_parameter(f"{HEADS[architecture]}.weight").shape[0] == 7
    assert model.train()(torch.empty(2, 3, side, side, device="meta")).shape == (2, 7)


def test_vgg16_has_the_parameters_of_the_paper(make_on_meta: MakeModel, count: Callable[..., int]) -> None:
    model = make_on_meta("torchvision", architecture="vgg16", outputs=1000, image=(3, 224, 224))
    assert count(model) == 138_357_544
    frozen = make_on_meta("torchvision", architecture="vgg16", outputs=6, image=(3, 224, 224), freeze=["features"])
    assert count(frozen, trained=False) == 14_714_688


@pytest.mark.parametrize("architecture", [name for name in HEADS if name.startswith(WITH_DROPOUT)])
def test_dropout_is_set_where_a_classifier_has_it(make_on_meta: MakeModel, architecture: str) -> None:
    side = 299 if architecture == "inception_v3" else 224
    image = (3, side, side)
    model = make_on_meta("torchvision", architecture=architecture, image=image, dropout=0.125)
    assert model.live_values()["dropout"] == 0.125
    own = make_on_meta("torchvision", architecture=architecture, image=image)
    assert own.live_values()["dropout"] not in (0.125, 0.0)


@pytest.mark.parametrize(
    ("architecture", "weights", "mean", "std"),
    [
        ("resnet18", None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("vgg16", "weights/vgg16.pth", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("vgg16", "IMAGENET1K_FEATURES", (0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)),
        ("efficientnet_v2_l", None, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ],
)
def test_images_are_normalised_as_the_weights_want_it(
    architecture: str, weights: str | None, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    from trainyard.models.normalization import normalization_for

    images = torch.rand(2, 3, 4, 4)
    expected = (images - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    torch.testing.assert_close(normalization_for(architecture, weights)(images), expected)


def test_googlenet_gets_what_torchvision_gives_it_by_a_detour() -> None:
    """Its own weights come with transform_input, which undoes the usual normalisation inside the model."""
    from torchvision.models import get_model
    from torchvision.transforms.functional import normalize

    from trainyard.models.normalization import normalization_for

    torch.manual_seed(0)
    images = torch.rand(2, 3, 64, 64)
    net = get_model("googlenet", weights=None, aux_logits=False, transform_input=True, init_weights=False).eval()
    expected = net(normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    net.transform_input = False
    torch.testing.assert_close(net(normalization_for("googlenet", None)(images)), expected)


def test_normalisation_is_neither_saved_nor_trained(make_model: MakeModel) -> None:
    model = make_model("torchvision", architecture="squeezenet1_1", image=(3, 32, 32))
    assert all(name.startswith("net.") for name in model.state_dict())
    assert all(name.startswith("net.") for name, _ in model.named_parameters())
    plain = make_model("torchvision", architecture="squeezenet1_1", image=(3, 32, 32), normalize="none")
    assert plain.state_dict().keys() == model.state_dict().keys()
    assert plain.live_values()["normalize"] == "none"


@pytest.mark.parametrize(
    ("architecture", "image", "message"),
    [
        ("resnet18", (1, 32, 32), "resnet18 takes images of 3 channels, got 1. Set data.channels: 3."),
        ("vit_b_32", (3, 64, 96), "takes square images whose sides are multiples of 32, got 64x96."),
        ("vit_b_16", (3, 40, 40), "takes square images whose sides are multiples of 16, got 40x40."),
    ],
)
def test_images_that_it_cannot_take(
    make_on_meta: MakeModel, architecture: str, image: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(TrialError) as refusal:
        make_on_meta("torchvision", architecture=architecture, image=image)
    assert message in str(refusal.value)


@pytest.fixture(scope="module")
def small() -> nn.Module:
    """torchvision's smallest net with norms, for 1,000 classes."""
    torch.manual_seed(3)
    return build_net("shufflenet_v2_x0_5", image=(3, 32, 32), outputs=1000, initialise=True)


def test_weights_for_other_classes_keep_all_but_the_head(
    make_model: MakeModel, small: nn.Module, tmp_path: Path
) -> None:
    torch.save(small.state_dict(), tmp_path / "small.pth")
    settings: dict[str, Any] = {"architecture": "shufflenet_v2_x0_5", "weights": str(tmp_path / "small.pth")}
    model = make_model("torchvision", outputs=4, **settings)
    assert isinstance(model, Torchvision)
    for name, tensor in model.net.state_dict().items():
        assert torch.equal(tensor, small.state_dict()[name]) or name.startswith("fc."), name
    assert model.net.get_submodule("fc").weight.shape == (4, 1024)
    assert make_model("torchvision", outputs=1000, **settings).live_values()["weights"] == settings["weights"]


def test_a_trial_goes_on_from_the_checkpoint_of_another(make_model: MakeModel, tmp_path: Path) -> None:
    source = make_model("torchvision", architecture="shufflenet_v2_x0_5", outputs=4)
    state = {"history": [], "learner": {"model": source.state_dict(), "optimizer": {}, "precision": {}}}
    (tmp_path / "best.pt").write_bytes(to_bytes(state))
    model = make_model("torchvision", architecture="shufflenet_v2_x0_5", outputs=4, weights=str(tmp_path / "best.pt"))
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(model.eval()(images), source.eval()(images))


def test_frozen_stages_keep_their_statistics_through_training(
    make_model: MakeModel, statistics: Callable[[nn.Module], dict[str, Tensor]]
) -> None:
    model = make_model("torchvision", architecture="resnet18", freeze=["conv1", "bn1", "layer1", "layer2"])
    before = statistics(model)
    for _ in range(2):
        model.train()
        model(torch.rand(4, 3, 32, 32)).square().sum().backward()
    after = statistics(model)
    changed = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"layer3", "layer4"}
    with_gradient = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == {"layer3", "layer4", "fc"}


def test_all_frozen_is_refused(make_model: MakeModel) -> None:
    with pytest.raises(TrialError, match=r"model torchvision: it has no trainable parameters"):
        make_model("torchvision", architecture="squeezenet1_1", freeze=["*"])


def test_a_pattern_that_names_nothing_gets_a_hint(make_model: MakeModel) -> None:
    with pytest.raises(TrialError, match=r"called layr4. Did you mean layer4\?"):
        make_model("torchvision", architecture="resnet18", freeze=["layr4"])


def test_channels_last_and_bfloat16_answer_alike(make_model: MakeModel) -> None:
    model = make_model("torchvision", architecture="shufflenet_v2_x0_5").eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = model(images)
        last = model.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
        torch.testing.assert_close(last, expected, rtol=1e-4, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            assert model(images).isfinite().all()
