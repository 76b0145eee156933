"""A small convolutional net to study regularisation with."""

from collections.abc import Sequence

from torch import nn

from trainyard.errors import TrialError


class MnistNet(nn.Sequential):
    """Convolution of the same size, ReLU, batch norm, max pooling by 2 and dropout for each of `channels`; then a dense
    layer and batch norm. Without batch norm and dropout nothing is in their place.

    image: (channels, height, width). input_dropout, dropout: probabilities of dropping a pixel, and an activation of
    each pooled layer. With its defaults 68,938 parameters for 1x28x28 images and 10 outputs; batch norm adds 276:
    2 x (64 + 64 + 10). TrialError if nothing is left of the image after the last pooling.
    """

    def __init__(
        self,
        *,
        image: tuple[int, int, int],
        outputs: int,
        channels: Sequence[int] = (64, 64),
        kernel: int = 3,
        batch_norm: bool = False,
        input_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        height, width = (side // 2 ** len(channels) for side in image[1:])
        if not (height and width):
            raise TrialError(
                f"model mnist_net: images of {image[1]}x{image[2]} are too small to be halved {len(channels)} times. "
                "Use fewer channels, or a larger data.image_size."
            )
        layers: list[nn.Module] = [nn.Dropout(input_dropout)]
        for inputs, filters in zip([image[0], *channels], channels, strict=False):
            layers += [nn.Conv2d(inputs, filters, kernel, padding="same"), nn.ReLU()]
            layers += [nn.BatchNorm2d(filters)] if batch_norm else []
            layers += [nn.MaxPool2d(2), nn.Dropout(dropout)]
        layers += [nn.Flatten(), nn.Linear(channels[-1] * height * width, outputs)]
        layers += [nn.BatchNorm1d(outputs)] if batch_norm else []
        super().__init__(*layers)

    def live_values(self) -> dict[str, object]:
        convolutions = [layer for layer in self if isinstance(layer, nn.Conv2d)]
        dropouts = [layer.p for layer in self if isinstance(layer, nn.Dropout)]
        return {
            "channels": [convolution.out_channels for convolution in convolutions],
            "kernel": convolutions[0].kernel_size[0],
            "batch_norm": any(isinstance(layer, nn.BatchNorm2d) for layer in self),
            "input_dropout": dropouts[0],
            "dropout": dropouts[1],
        }
