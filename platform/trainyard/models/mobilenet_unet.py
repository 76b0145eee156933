"""A U-Net on the layers of MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381), pretrained or not."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trainyard.errors import TrialError
from trainyard.models.blocks import require_pixels
from trainyard.models.freezing import PartlyFrozen
from trainyard.models.normalization import normalization_for
from trainyard.models.torchvision import head_of
from trainyard.models.weights import load_weights
from trainyard.spec.models.segmenters import LEAST_SIDE

ARCHITECTURE = "mobilenet_v2"

HALVING = (2, 4, 7, 14)
"""Places of MobileNetV2's blocks that halve the image once more, after its first layer did. What such a block has
widened, before it halves it, is as fine as a level is: that is what the decoder joins."""

LAST = 17
"""The last block; the 1x1 convolution after it only serves the classifier."""


class MobilenetUnet(PartlyFrozen):
    """MobileNetV2 down to a 32nd of the image, and back by transposed convolutions, each joined with what the encoder
    had at that size: at a 16th, an 8th, a quarter and a half. A last one answers at the image's size.

    image: (3, height, width), of any size from 32x32 on. width: MobileNetV2's width multiplier. decoder: channels after
    each transposed convolution but the last. weights: of MobileNetV2, see `load_weights`. freeze: see `frozen_by`;
    `encoder` is all of MobileNetV2, `encoder.0` its first level. dropout: of channels of the coarsest level.

    Answers with logits (N, outputs, height, width). The decoder is that of TensorFlow's tutorial on image segmentation:
    4,660,323 parameters for three outputs, over 1,811,712 of the encoder. TrialError for images that are too small or
    have other channels, and if the weights don't fit (StorageError if they can't be had).
    """

    def __init__(
        self,
        *,
        image: tuple[int, int, int],
        outputs: int,
        width: float = 1.0,
        decoder: Sequence[int] = (512, 256, 128, 64),
        weights: str | None = None,
        normalize: Literal["imagenet", "none"] = "imagenet",
        freeze: Sequence[str] = (),
        dropout: float = 0.0,
    ) -> None:
        require_pixels("mobilenet_unet", image, least=LEAST_SIDE)
        if image[0] != 3:
            raise TrialError(
                f"model mobilenet_unet: it takes images of 3 channels, got {image[0]}. Set data.channels: 3."
            )
        super().__init__()
        self._settings: dict[str, Any] = {
            "width": width,
            "decoder": list(decoder),
            "weights": weights,
            "normalize": normalize,
            "freeze": list(freeze),
        }
        self.normalization = normalization_for(ARCHITECTURE, weights) if normalize == "imagenet" else nn.Identity()
        self.encoder, (*joined, coarsest) = _encoder(width, weights)
        self.dropout = nn.Dropout2d(dropout)
        inputs = [coarsest, *(up + skip for up, skip in zip(decoder, reversed(joined), strict=True))]
        self.decoder = nn.ModuleList(_Enlarging(i, o) for i, o in zip(inputs, decoder, strict=False))
        self.classifier = nn.ConvTranspose2d(inputs[-1], outputs, 3, stride=2, padding=1)
        self.freeze(self, freeze)

    def forward(self, images: Tensor) -> Tensor:
        features, levels = self.normalization(images), []
        for encode in self.encoder:
            features = encode(features)
            levels.append(features)
        features = self.dropout(levels.pop())
        for enlarge in self.decoder:
            finer = levels.pop()
            features = torch.cat([enlarge(features, finer.shape[2:]), finer], dim=1)
        return self.classifier(features, output_size=list(images.shape[2:]))

    def live_values(self) -> dict[str, object]:
        values = {name: value for name, value in self._settings.items() if value is not None}
        return {**values, "dropout": self.dropout.p}


class _Enlarging(nn.Module):
    """(N, inputs, h, w) to (N, outputs, *size), each side doubled or doubled less one: transposed 3x3 convolution, norm
    and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.deconvolution = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.normed = nn.Sequential(nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))

    def forward(self, features: Tensor, size: Sequence[int]) -> Tensor:
        answer: Tensor = self.normed(self.deconvolution(features, output_size=list(size)))
        return answer


def _encoder(width: float, weights: str | None) -> tuple[nn.ModuleList, list[int]]:
    """MobileNetV2 cut where its levels end, and the channels of each."""
    from torchvision.models import mobilenet_v2

    net = mobilenet_v2(weights=None, width_mult=width)
    if weights is not None:
        unused = (f"features.{LAST + 1}.", "classifier.")
        needed = [name for name in net.state_dict() if not name.startswith(unused)]
        load_weights(net, weights, architecture=ARCHITECTURE, head=head_of(net), needed=needed)
    blocks = list(net.features[: LAST + 1])
    levels, channels, rest = nn.ModuleList(), [], []
    for place, block in enumerate(blocks):
        if place not in HALVING:
            rest.append(block)
            continue
        widening, *halving = block.conv
        levels.append(nn.Sequential(*rest, widening))
        channels.append(widening[0].out_channels)
        rest = list(halving)
    levels.append(nn.Sequential(*rest))
    return levels, [*channels, blocks[-1].out_channels]
