"""Feature maps that are trained: the layers of one of torchvision's nets up to one of them."""

from typing import NamedTuple

from torch import Tensor, nn

from trainyard.errors import TrialError
from trainyard.models.features import CLASSES, last_maps, layers_until, output_shape
from trainyard.models.torchvision import build_net
from trainyard.spec.models.detectors import TrainedBackbone

_VGG = {"vgg11": "A", "vgg13": "B", "vgg16": "D", "vgg19": "E"}
"""Columns of the paper's table 1 (Simonyan, Zisserman 2015), by which torchvision calls them."""

_LARGE = (3, 1024, 1024)
"""An image on whose feature map borders make no difference to the stride."""


_OF_ONE_SIZE = ("maxvit_t",)
"""Nets for images of one size alone, which their stride divides."""


class Layers(NamedTuple):
    """net: answers with {"features": (N, channels, h, w)}; its paths are those of torchvision's. stride: pixels of the
    image, each way, to a position."""

    net: nn.Module
    channels: int
    stride: int


class _Convolutions(nn.Module):
    """The convolutions and poolings of a VGG, by torchvision's paths, without its classifier of 120 million weights."""

    def __init__(self, architecture: str, width: float) -> None:
        from torchvision.models.vgg import cfgs, make_layers

        super().__init__()
        name, _, norm = architecture.partition("_")
        plan = [step if isinstance(step, str) else max(1, round(width * step)) for step in cfgs[_VGG[name]]]
        self.features = make_layers(plan, batch_norm=norm == "bn")
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):  # as torchvision's VGG does
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.get_parameter("bias"))

    def forward(self, images: Tensor) -> Tensor:
        return self.features(images)


class _FeaturesOf(nn.Module):
    """The feature maps by themselves."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.net(images)["features"]
        return features


def trained_features(settings: TrainedBackbone, image: tuple[int, int, int]) -> Layers:
    """The layers that a detector's backbone has.

    image: (3, height, width). TrialError for a node that isn't there or that has no feature maps, if the weights don't
    fit (StorageError if they can't be had), and for images of which nothing is left.
    """
    architecture = settings.architecture
    if architecture.startswith("vgg") and settings.weights is None:
        net: nn.Module = _Convolutions(architecture, settings.width)
    else:
        net = build_net(architecture, image=image, outputs=CLASSES, initialise=settings.weights is None)
    layers = layers_until(net, settings.until or _last_node(net, architecture), settings)
    layers.eval()  # norms take no statistics of a batch that isn't one
    seen = image if architecture in _OF_ONE_SIZE else _LARGE
    output_shape(_FeaturesOf(layers), image)
    shape = output_shape(_FeaturesOf(layers), seen)
    if len(shape) != 3 or seen[1] % shape[1]:
        raise TrialError(
            f"until: {settings.until} of {architecture} answers with {'x'.join(map(str, shape))} numbers for an image "
            f"of {'x'.join(map(str, seen))}, not with feature maps of a whole stride. Name another node."
        )
    layers.train()
    return Layers(layers, channels=shape[0], stride=seen[1] // shape[1])


def _last_node(net: nn.Module, architecture: str) -> str:
    if not architecture.startswith("vgg"):
        return last_maps(architecture)
    layers = list(net.get_submodule("features"))  # type: ignore[call-overload]
    last = max(index for index, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d))
    return f"features.{last - 1}"
