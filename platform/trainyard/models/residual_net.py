"""Plain and residual nets for small images."""

from collections.abc import Sequence

from torch import Tensor, nn


class ResidualNet(nn.Module):
    """The nets of He et al. 2016 (Deep Residual Learning), section 4.2, with or without their shortcuts.

    A 3x3 convolution, then three stages of n blocks of two 3x3 convolutions, each normalised, the second and the third
    stage on half the height and width; global average pooling and a dense layer: 6n + 2 layers. A shortcut is the
    identity, or where sizes differ a projection: a normalised 1x1 convolution (their option B).

    image: (channels, height, width), of any size. depth: 6n + 2. widths: channels of each stage. With 20 layers, 3
    channels and 10 outputs 269,722 parameters without shortcuts, 272,474 with them; with 56 853,018 and 855,770.
    """

    def __init__(
        self,
        *,
        image: tuple[int, int, int],
        outputs: int,
        depth: int = 20,
        shortcuts: bool = True,
        widths: Sequence[int] = (16, 32, 64),
    ) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.stem = nn.Sequential(_convolution(image[0], widths[0]), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True))
        self.stages = nn.Sequential()
        inputs = widths[0]
        for stage, width in enumerate(widths):
            layers = nn.Sequential()
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                layers.append(Block(inputs, width, stride=stride, shortcut=shortcuts))
                inputs = width
            self.stages.append(layers)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, outputs))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(images)))

    def live_values(self) -> dict[str, object]:
        blocks = [module for module in self.modules() if isinstance(module, Block)]
        each = len(blocks) // len(self.stages)
        return {
            "depth": 2 * len(blocks) + 2,
            "shortcuts": blocks[0].shortcut is not None,
            "widths": [block.first.out_channels for block in blocks[::each]],
        }


class Block(nn.Module):
    """Two normalised convolutions, and what went into them added before the last ReLU if there is a shortcut."""

    def __init__(self, inputs: int, width: int, *, stride: int, shortcut: bool) -> None:
        super().__init__()
        self.first = _convolution(inputs, width, stride=stride)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = _convolution(width, width)
        self.second_norm = nn.BatchNorm2d(width)
        self.activation = nn.ReLU(inplace=True)
        self.shortcut: nn.Module | None = None
        if shortcut and stride == 1 and inputs == width:
            self.shortcut = nn.Identity()
        elif shortcut:
            projection = nn.Conv2d(inputs, width, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(width))

    def forward(self, features: Tensor) -> Tensor:
        changed = self.activation(self.first_norm(self.first(features)))
        changed = self.second_norm(self.second(changed))
        return self.activation(changed if self.shortcut is None else changed + self.shortcut(features))


def _convolution(inputs: int, outputs: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
