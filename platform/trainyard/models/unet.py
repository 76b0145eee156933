"""U-Net, of any depth and width."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainyard.errors import TrialError
from trainyard.models.blocks import Norm, convolution


class Unet(nn.Module):
    """Two convolutions on each level, an encoder that halves the image from one to the next, and a decoder that doubles
    it again and joins what the encoder had on each (Ronneberger, Fischer, Brox 2015).

    As is usual by now, convolutions are padded, so that the answer is as large as the image, and normalised; levels are
    doubled bilinearly after a 1x1 convolution, which suits any size of image.

    image: (channels, height, width). Answers with logits (N, outputs, height, width). TrialError for an image that
    can't be halved between all levels.
    """

    def __init__(
        self,
        *,
        image: tuple[int, int, int],
        outputs: int,
        channels: Sequence[int] = (16, 32, 64),
        norm: Norm = "batch",
        dropout: float = 0.0,
    ) -> None:
        smallest = 2 ** (len(channels) - 1)
        if min(image[1:]) < smallest:
            raise TrialError(
                f"model unet: images of {image[1]}x{image[2]} are too small for {len(channels)} levels, which need "
                f"{smallest} pixels. Use fewer channels, or a larger data.image_size."
            )
        super().__init__()
        self._settings = {"channels": list(channels), "norm": norm}
        self.encoder = nn.ModuleList(
            _level(inputs, outputs, norm) for inputs, outputs in zip([image[0], *channels], channels, strict=False)
        )
        self.dropout = nn.Dropout2d(dropout)
        steps = list(pairwise(channels))[::-1]
        self.narrowing = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in steps)
        self.decoder = nn.ModuleList(_level(2 * fine, fine, norm) for fine, _ in steps)
        self.classifier = nn.Conv2d(channels[0], outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        levels = [self.encoder[0](images)]
        for encode in self.encoder[1:]:
            levels.append(encode(functional.max_pool2d(levels[-1], 2)))
        features = self.dropout(levels.pop())
        for narrow, decode in zip(self.narrowing, self.decoder, strict=True):
            finer = levels.pop()
            doubled = functional.interpolate(narrow(features), size=finer.shape[2:], mode="bilinear")
            features = decode(torch.cat([finer, doubled], dim=1))
        return self.classifier(features)

    def live_values(self) -> dict[str, object]:
        return {**self._settings, "dropout": self.dropout.p}


def _level(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(convolution(inputs, outputs, norm=norm), convolution(outputs, outputs, norm=norm))
