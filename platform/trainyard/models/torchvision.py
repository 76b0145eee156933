"""torchvision's classification models, for any number of classes."""

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

from trainyard.errors import TrialError
from trainyard.models.freezing import PartlyFrozen
from trainyard.models.normalization import normalization_for
from trainyard.models.weights import load_weights
from trainyard.spec.pretrained import WITH_DROPOUT


class Torchvision(PartlyFrozen):
    """One of torchvision's nets, by its name there; answers with logits (N, outputs).

    image: (3, height, width). weights: see `load_weights`; the head is only theirs if it has as many classes. freeze:
    see `frozen_by`, with torchvision's paths. dropout: of the dropout layers that the classifier has. TrialError if the
    weights don't fit (StorageError if they can't be had), and for images that the architecture can't take.
    """

    def __init__(
        self,
        *,
        image: tuple[int, int, int],
        outputs: int,
        architecture: str,
        weights: str | None = None,
        normalize: Literal["imagenet", "none"] = "imagenet",
        freeze: Sequence[str] = (),
        dropout: float | None = None,
    ) -> None:
        super().__init__()
        self._settings: dict[str, Any] = {"architecture": architecture, "weights": weights, "normalize": normalize}
        self.normalization = normalization_for(architecture, weights) if normalize == "imagenet" else nn.Identity()
        self.net = build_net(architecture, image=image, outputs=outputs, initialise=weights is None)
        if weights is not None:
            load_weights(self.net, weights, architecture=architecture, head=head_of(self.net))
        if dropout is not None:
            for layer in self._dropouts():
                layer.p = dropout
        self._patterns = tuple(freeze)
        self.freeze(self.net, self._patterns)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(self.normalization(images))

    def live_values(self) -> dict[str, object]:
        values = {name: value for name, value in self._settings.items() if value is not None}
        dropouts = [layer.p for layer in self._dropouts()]
        return {**values, "freeze": list(self._patterns), **({"dropout": dropouts[0]} if dropouts else {})}

    def _dropouts(self) -> list[nn.Dropout]:
        """Those of the classifier, which only some architectures have."""
        if not self._settings["architecture"].startswith(WITH_DROPOUT):
            return []
        return [layer for layer in self.net.modules() if isinstance(layer, nn.Dropout)]


def build_net(architecture: str, *, image: tuple[int, int, int], outputs: int, initialise: bool) -> nn.Module:
    """torchvision's net, without heads that only help its training.

    initialise: whether its weights are needed as they are; without, nets that are slow to initialise aren't. TrialError
    for images that it can't take.
    """
    from torchvision.models import get_model

    if image[0] != 3:
        raise TrialError(f"{architecture} takes images of 3 channels, got {image[0]}. Set data.channels: 3.")
    return get_model(architecture, weights=None, num_classes=outputs, **_own_settings(architecture, image, initialise))


def _own_settings(architecture: str, image: tuple[int, int, int], initialise: bool) -> dict[str, Any]:
    height, width = image[1:]
    if architecture.startswith("vgg"):
        return {"init_weights": initialise}
    if architecture in ("googlenet", "inception_v3"):
        return {"init_weights": initialise, "aux_logits": False}
    if architecture == "maxvit_t":
        return {"input_size": (height, width)}
    if architecture.startswith("vit_"):
        patch = int(architecture.rpartition("_")[2])
        if height != width or height % patch:
            raise TrialError(
                f"{architecture} takes square images whose sides are multiples of {patch}, got {height}x{width}. Set "
                "data.image_size."
            )
        return {"image_size": height}
    return {}


def head_of(net: nn.Module) -> list[str]:
    """The names of the tensors of the last layer, the one with an output for each class."""
    path = [path for path, module in net.named_modules() if list(module.parameters(recurse=False))][-1]
    return [f"{path}.{name}" for name, _ in net.get_submodule(path).named_parameters(recurse=False)]
