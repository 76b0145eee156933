"""torchvision's models, and the weights that it publishes for each.

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

SegmentationArchitecture = Literal[
    "deeplabv3_mobilenet_v3_large",
    "deeplabv3_resnet101",
    "deeplabv3_resnet50",
    "fcn_resnet101",
    "fcn_resnet50",
    "lraspp_mobilenet_v3_large",
]
"""The names that torchvision.models.get_model takes and that segment images."""

DetectionArchitecture = Literal[
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fcos_resnet50_fpn",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "ssd300_vgg16",
    "ssdlite320_mobilenet_v3_large",
]
"""The names that torchvision.models.get_model takes and that find boxes, and nothing beside them."""

DETECTION_BACKBONES: dict[str, Architecture] = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": "mobilenet_v3_large",
    "fasterrcnn_mobilenet_v3_large_fpn": "mobilenet_v3_large",
    "fasterrcnn_resnet50_fpn": "resnet50",
    "fasterrcnn_resnet50_fpn_v2": "resnet50",
    "fcos_resnet50_fpn": "resnet50",
    "retinanet_resnet50_fpn": "resnet50",
    "retinanet_resnet50_fpn_v2": "resnet50",
    "ssd300_vgg16": "vgg16",
}
"""The classification models whose layers theirs are; ssdlite has narrower ones of its own."""

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

PUBLISHED_FOR_SEGMENTATION: dict[str, tuple[str, ...]] = dict.fromkeys(
    get_args(SegmentationArchitecture), ("COCO_WITH_VOC_LABELS_V1",)
)
"""The same of those that segment: trained on COCO's images with the 20 classes of Pascal VOC and a background."""

PUBLISHED_FOR_DETECTION: dict[str, tuple[str, ...]] = dict.fromkeys(get_args(DetectionArchitecture), ("COCO_V1",))
"""The same of those that find boxes: trained on COCO's 80 classes, counted up to 90, and a background."""

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
    names = ("DEFAULT", *{**PUBLISHED, **PUBLISHED_FOR_SEGMENTATION, **PUBLISHED_FOR_DETECTION}[architecture])
    if weights in names:
        return None
    rule = f"{path} must be {listing(names)} of {architecture}, or a file such as weights/{architecture}.safetensors"
    return f"{rule}, got {show(weights)}.{close(weights, names)}"
