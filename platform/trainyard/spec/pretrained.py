"""torchvision's classification models, and the weights that it publishes for each.

They stand here as literals so that a wrong name is refused at once: importing torchvision takes seconds.
"""

from typing import Literal, get_args

from trainyard.spec.hints import close, listing
from trainyard.spec.scalars import show

Architecture = Literal[
    "alexnet",
    "convnext_base",
    "convnext_large",
    "convnext_small",
    "convnext_tiny",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_v2_l",
    "efficientnet_v2_m",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mnasnet0_75",
    "mnasnet1_0",
    "mnasnet1_3",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "regnet_x_16gf",
    "regnet_x_1_6gf",
    "regnet_x_32gf",
    "regnet_x_3_2gf",
    "regnet_x_400mf",
    "regnet_x_800mf",
    "regnet_x_8gf",
    "regnet_y_128gf",
    "regnet_y_16gf",
    "regnet_y_1_6gf",
    "regnet_y_32gf",
    "regnet_y_3_2gf",
    "regnet_y_400mf",
    "regnet_y_800mf",
    "regnet_y_8gf",
    "resnet101",
    "resnet152",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
    "squeezenet1_0",
    "squeezenet1_1",
    "swin_b",
    "swin_s",
    "swin_t",
    "swin_v2_b",
    "swin_v2_s",
    "swin_v2_t",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "vit_b_16",
    "vit_b_32",
    "vit_h_14",
    "vit_l_16",
    "vit_l_32",
    "wide_resnet101_2",
    "wide_resnet50_2",
]
"""The names that torchvision.models.get_model takes and that classify single images."""

_V1, _V2 = "IMAGENET1K_V1", "IMAGENET1K_V2"
_SWAG = ("IMAGENET1K_SWAG_E2E_V1", "IMAGENET1K_SWAG_LINEAR_V1")
_TRAINED_TWICE = (
    *("efficientnet_b1", "mobilenet_v2", "mobilenet_v3_large"),
    *("regnet_x_16gf", "regnet_x_1_6gf", "regnet_x_32gf", "regnet_x_3_2gf", "regnet_x_400mf", "regnet_x_800mf"),
    *("regnet_x_8gf", "regnet_y_1_6gf", "regnet_y_3_2gf", "regnet_y_400mf", "regnet_y_800mf", "regnet_y_8gf"),
    *("resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d"),
    *("wide_resnet50_2", "wide_resnet101_2"),
)

PUBLISHED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(get_args(Architecture), (_V1,)),
    **dict.fromkeys(_TRAINED_TWICE, (_V1, _V2)),
    **dict.fromkeys(("regnet_y_16gf", "regnet_y_32gf"), (_V1, _V2, *_SWAG)),
    **dict.fromkeys(("vit_b_16", "vit_l_16"), (_V1, *_SWAG)),
    **dict.fromkeys(("regnet_y_128gf", "vit_h_14"), _SWAG),
    "vgg16": (_V1, "IMAGENET1K_FEATURES"),
}
"""The names of the weights of each architecture, without DEFAULT, which names one of them."""

WITH_DROPOUT = ("alexnet", "efficientnet", "googlenet", "inception", "mnasnet", "mobilenet", "squeezenet", "vgg")
"""How the names of architectures begin whose classifier has dropout."""

WITHOUT_MAPS = "vit_"
"""How the names of architectures begin that have tokens instead of feature maps."""

SUFFIXES = (".safetensors", ".pt", ".pth")
"""Of files of weights."""


def is_file(weights: str) -> bool:
    """Whether weights are a file, and not the name of published ones."""
    return "/" in weights or weights.endswith(SUFFIXES)


def weights_problem(path: str, architecture: str, weights: str | None) -> str | None:
    """What is wrong with weights of an architecture, of which `path` is the setting; not whether a file exists."""
    if weights is None:
        return None
    if is_file(weights):
        if "://" in weights:
            return f"{path} must be a file on a disk, got {show(weights)}. Download it first."
        if not weights.endswith(SUFFIXES):
            return f"{path} must be a file that ends in {listing(SUFFIXES)}, got {show(weights)}."
        return None
    names = ("DEFAULT", *PUBLISHED[architecture])
    if weights in names:
        return None
    rule = f"{path} must be {listing(names)} of {architecture}, or a file such as weights/{architecture}.safetensors"
    return f"{rule}, got {show(weights)}.{close(weights, names)}"
