"""A small convolutional net."""

from collections.abc import Sequence
from typing import Literal

from torch import nn

from trainyard.errors import TrialError


class Cnn(nn.Sequential):
    """Convolution, ReLU and max pooling by 2 for each of `channels`; then dropout and a dense layer.

    image: (channels, height, width). With its defaults, 42,442 parameters for 3x32x32 images and 10 outputs.
    TrialError if nothing is left of the image after the last pooling.
    """

    def __init__(
        self,
        *,
        image: tuple[int, int, int],
        outputs: int,
        channels: Sequence[int] = (32, 64),
        kernel: int = 3,
        padding: Literal["valid", "same"] = "valid",
        dropout: float = 0.5,
    ) -> None:
        height, width = (_left_of(side, kernel=kernel, padding=padding, layers=len(channels)) for side in image[1:])
        if not (height and width):
            raise TrialError(
                f"model cnn: images of {image[1]}x{image[2]} are too small for {len(channels)} convolutions with "
                f"kernel={kernel} and padding={padding}, each followed by pooling. Use fewer channels, a smaller "
                "kernel, padding: same, or a larger data.image_size."
            )
        layers: list[nn.Module] = []
        for inputs, filters in zip([image[0], *channels], channels, strict=False):
            layers += [nn.Conv2d(inputs, filters, kernel, padding=padding), nn.ReLU(), nn.MaxPool2d(2)]
        features = channels[-1] * height * width
        super().__init__(*layers, nn.Flatten(), nn.Dropout(dropout), nn.Linear(features, outputs))

    def live_values(self) -> dict[str, object]:
        convolutions = [layer for layer in self if isinstance(layer, nn.Conv2d)]
        return {
            "channels": [convolution.out_channels for convolution in convolutions],
            "kernel": convolutions[0].kernel_size[0],
            "padding": convolutions[0].padding,
            "dropout": next(layer.p for layer in self if isinstance(layer, nn.Dropout)),
        }


def _left_of(side: int, *, kernel: int, padding: str, layers: int) -> int:
    """The height or width after so many convolutions and poolings; 0 where nothing is left."""
    for _ in range(layers):
        side = max(0, side - (kernel - 1 if padding == "valid" else 0)) // 2
    return side
