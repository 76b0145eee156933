"""A deconvolution network: pooling down, unpooling or transposed convolutions up, a class for each pixel."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from trainyard.errors import TrialError
from trainyard.models.blocks import Norm, convolution, normalisation

Size = tuple[int, int]


class DeconvolutionNet(nn.Module):
    """Convolutions and max pooling by 2 on each level, and the same mirrored, each level enlarged and convolved again
    (Noh, Hong, Han 2015, arXiv:1505.04366). But for the places of the maxima nothing goes across, unlike in a U-Net.

    image: (channels, height, width), of any size that can be halved between all levels. channels: of each level, the
    finest first. convolutions: on each level; two when absent. middle: channels of two layers between both halves, of
    which the first sees all of the coarsest maps and the second spreads them out again; none when absent. unpooling:
    `indices` puts each value where the largest of its four was on the way down, `none` enlarges by a transposed
    convolution. dropout: of channels of the coarsest level.

    Answers with logits (N, outputs, height, width). The paper's own is channels [64, 128, 256, 512, 512], convolutions
    [2, 2, 3, 3, 3] and middle 4096 on 224x224. TrialError for images that are too small.
    """

    def __init__(
        self,
        *,
        image: tuple[int, int, int],
        outputs: int,
        channels: Sequence[int] = (32, 64, 128, 256),
        convolutions: Sequence[int] | None = None,
        middle: int | None = None,
        unpooling: Literal["indices", "none"] = "indices",
        norm: Norm = "batch",
        dropout: float = 0.0,
    ) -> None:
        smallest = 2 ** len(channels)
        if min(image[1:]) < smallest:
            raise TrialError(
                f"model deconvolution_net: images of {image[1]}x{image[2]} are too small to be halved {len(channels)} "
                f"times, which takes {smallest} pixels each way. Use fewer channels, or a larger data.image_size."
            )
        super().__init__()
        counts = [2] * len(channels) if convolutions is None else list(convolutions)
        self._settings = {
            "channels": list(channels),
            "convolutions": counts,
            "middle": middle,
            "unpooling": unpooling,
            "norm": norm,
        }
        finer = [image[0], *channels[:-1]]
        self.encoder = nn.ModuleList(
            _level([above] + [width] * count, norm) for above, width, count in zip(finer, channels, counts, strict=True)
        )
        coarsest = (image[1] // smallest, image[2] // smallest)
        self.middle = nn.Identity() if middle is None else _middle(channels[-1], middle, coarsest, norm)
        self.dropout = nn.Dropout2d(dropout)
        enlarge = _Unpooling if unpooling == "indices" else _Deconvolution
        self.decoder = nn.ModuleList(
            enlarge([width] * count + [above], norm)
            for above, width, count in zip(
                [*channels[-2::-1], channels[0]], reversed(channels), reversed(counts), strict=True
            )
        )
        self.classifier = nn.Conv2d(channels[0], outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = images
        pooled: list[tuple[Size, Tensor]] = []
        for encode in self.encoder:
            fine = encode(features)
            features, places = functional.max_pool2d(fine, 2, return_indices=True)
            pooled.append(((fine.shape[2], fine.shape[3]), places))
        features = self.dropout(self.middle(features))
        for decode in self.decoder:
            features = decode(features, *pooled.pop())
        return self.classifier(features)

    def live_values(self) -> dict[str, object]:
        return {**self._settings, "dropout": self.dropout.p}


class _Unpooling(nn.Module):
    """(N, C, h, w) to (N, D, *size): each value at the place of the maximum that it stands for, zeros elsewhere; then
    convolutions."""

    def __init__(self, widths: Sequence[int], norm: Norm) -> None:
        super().__init__()
        self.convolutions = _level(widths, norm)

    def forward(self, features: Tensor, size: Size, places: Tensor) -> Tensor:
        answer: Tensor = self.convolutions(functional.max_unpool2d(features, places, [2, 2], output_size=size))
        return answer


class _Deconvolution(nn.Module):
    """(N, C, h, w) to (N, D, *size) by a transposed convolution of 4x4, whose windows cover each pixel equally often;
    then convolutions."""

    def __init__(self, widths: Sequence[int], norm: Norm) -> None:
        super().__init__()
        self.deconvolution = nn.ConvTranspose2d(widths[0], widths[0], 4, stride=2, padding=1, bias=norm == "none")
        self.normed = nn.Sequential(normalisation(norm, widths[0]), nn.ReLU(inplace=True))
        self.convolutions = _level(widths, norm)

    def forward(self, features: Tensor, size: Size, places: Tensor) -> Tensor:
        enlarged = self.normed(self.deconvolution(features, output_size=list(size)))
        answer: Tensor = self.convolutions(enlarged)
        return answer


def _level(widths: Sequence[int], norm: Norm) -> nn.Sequential:
    return nn.Sequential(*(convolution(inputs, outputs, norm=norm) for inputs, outputs in pairwise(widths)))


def _middle(outer: int, inner: int, size: Size, norm: Norm) -> nn.Sequential:
    """The fully connected layers of the paper (fc6, fc7 and deconv-fc6), for maps of any one size."""
    bias = norm == "none"

    def layer(convolution: nn.Module, channels: int) -> list[nn.Module]:
        return [convolution, normalisation(norm, channels), nn.ReLU(inplace=True)]

    return nn.Sequential(
        *layer(nn.Conv2d(outer, inner, size, bias=bias), inner),
        *layer(nn.Conv2d(inner, inner, 1, bias=bias), inner),
        *layer(nn.ConvTranspose2d(inner, outer, size, bias=bias), outer),
    )
