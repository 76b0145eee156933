"""What torchvision says of the weights that it publishes, without loading them."""

from typing import Any


def native_image(architecture: str) -> tuple[int, int, int]:
    """(3, height, width) of the images that an architecture was made for."""
    (side,) = _default(architecture).transforms().crop_size
    return 3, side, side


def categories(architecture: str) -> tuple[str, ...]:
    """The names of ImageNet's 1,000 classes, in the order of their indexes."""
    return tuple(_default(architecture).meta["categories"])


def _default(architecture: str) -> Any:
    from torchvision.models import get_model_weights

    return get_model_weights(architecture).DEFAULT
