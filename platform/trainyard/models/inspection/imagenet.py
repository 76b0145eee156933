"""What torchvision says of the weights that it publishes, without loading them."""

from typing import Any, get_args

from trainyard.spec.pretrained import DetectionArchitecture


def native_image(architecture: str) -> tuple[int, int, int]:
    """(3, height, width) of the images that an architecture was made for; of a segmenter, the shorter side twice, and
    of a detector COCO's longer one: it takes images of any size."""
    preset = _default(architecture).transforms()
    sizes: list[int] = getattr(preset, "crop_size", None) or getattr(preset, "resize_size", None) or [640]
    return 3, sizes[0], sizes[0]


def categories(architecture: str) -> tuple[str, ...]:
    """The names of the classes of its weights, in the order of their indexes: ImageNet's 1,000, Pascal VOC's 21, or of
    a detector the 90 numbers that COCO gives to classes, without the background."""
    names = tuple(_default(architecture).meta["categories"])
    return names[1:] if architecture in get_args(DetectionArchitecture) else names


def _default(architecture: str) -> Any:
    from torchvision.models import get_model_weights

    return get_model_weights(architecture).DEFAULT
