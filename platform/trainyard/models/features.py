"""Feature maps of pretrained networks, which aren't trained."""

import re
from difflib import get_close_matches
from typing import Self

import torch
from torch import Tensor, nn

from trainyard.errors import TrialError
from trainyard.models.normalization import normalization_for
from trainyard.models.torchvision import build_net, head_of
from trainyard.models.weights import load_weights
from trainyard.spec.models.settings import Backbone

_LAST_MAPS = {
    "densenet": "relu",
    "googlenet": "inception5b",
    "inception_v3": "Mixed_7c",
    "maxvit": "blocks",
    "mnasnet": "layers",
    "regnet": "trunk_output",
    "resnet": "layer4",
    "resnext": "layer4",
    "shufflenet": "conv5",
    "swin": "permute",
    "wide_resnet": "layer4",
}
"""By the beginnings of names: the node with the last feature map before the global pooling, where it isn't
`features`."""

CLASSES = 1000
"""Of the nets that torchvision publishes weights for."""


class FrozenFeatures(nn.Module):
    """The layers of a network up to one of them: (N, 3, H, W) in [0, 1] to (N, D, h, w), or (N, D) after the pooling.

    Nothing of it is trained: no parameter has a gradient, it stays in evaluation mode whatever `train()` says, so that
    norms use and keep their running statistics, and it runs without autograd.
    """

    def __init__(self, normalization: nn.Module, net: nn.Module) -> None:
        """net: answers with {"features": Tensor}."""
        super().__init__()
        self.normalization = normalization
        self.net = net
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Self:
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.net(self.normalization(images))["features"]
        return features


def feature_extractor(settings: Backbone, image: tuple[int, int, int]) -> FrozenFeatures:
    """The layers of one of torchvision's nets up to `settings.until`, frozen.

    image: (3, height, width). A relative path of weights is in the working directory of this process; that of a job is
    made absolute by `ModelSettings.located`. TrialError for a node that isn't there, and if the weights don't fit
    (StorageError if they can't be had).
    """
    architecture, weights = settings.architecture, settings.weights
    net = build_net(architecture, image=image, outputs=CLASSES, initialise=weights is None)
    extractor = layers_until(net, settings.until or last_maps(architecture), settings)
    imagenet = settings.normalize == "imagenet"
    return FrozenFeatures(normalization_for(architecture, weights) if imagenet else nn.Identity(), extractor)


def layers_until(net: nn.Module, node: str, settings: Backbone) -> nn.Module:
    """The layers of a net of torchvision's up to a node, with the pretrained weights that are asked for.

    They answer with {"features": Tensor}, and are the modules of the net itself, by the same paths. TrialError for a
    node that isn't there, and if the weights don't fit (StorageError if they can't be had).
    """
    layers = _until(net, node, settings.architecture)
    if settings.weights is not None:
        needed = layers.state_dict().keys()
        unused = [name for name in head_of(net) if name not in needed]
        load_weights(net, settings.weights, architecture=settings.architecture, head=unused, needed=needed)
    return layers


def last_maps(architecture: str) -> str:
    """The node with the last feature map before the global pooling."""
    return next((node for name, node in _LAST_MAPS.items() if architecture.startswith(name)), "features")


def output_shape(module: nn.Module, image: tuple[int, int, int]) -> tuple[int, ...]:
    """The shape of the answer to one image, without the first axis. Nothing is computed: it runs on `meta`.

    TrialError for images that are too small.
    """
    tensors = {name: tensor.to("meta") for name, tensor in [*module.named_parameters(), *module.named_buffers()]}
    nothing = torch.empty(1, *image, device="meta")
    try:
        answer: Tensor = torch.func.functional_call(module, tensors, (nothing,))
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        raise TrialError(f"images of {image[1]}x{image[2]} don't fit: {reason}. Set data.image_size.") from error
    return tuple(answer.shape[1:])


def _until(net: nn.Module, node: str, architecture: str) -> nn.Module:
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    try:
        if re.fullmatch(r"[\w.]+", node):
            found: nn.Module = create_feature_extractor(net, {node: "features"}, suppress_diff_warning=True)
            return found
    except ValueError as error:
        if "is not present in model" not in str(error):
            raise
    known = get_graph_node_names(net, suppress_diff_warning=True)[1]
    parts = dict.fromkeys([*known, *(name.partition(".")[0] for name in known)])
    close = get_close_matches(node, parts, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"It has {', '.join(name for name in parts if '.' not in name)}."
    raise TrialError(f"until: {architecture} has no node {node}. {hint}")
