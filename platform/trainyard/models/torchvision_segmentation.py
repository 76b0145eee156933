"""torchvision's segmentation models, for any number of classes."""

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

from trainyard.errors import TrialError
from trainyard.models.blocks import require_pixels
from trainyard.models.freezing import PartlyFrozen
from trainyard.models.normalization import normalization_for
from trainyard.models.weights import load_weights
from trainyard.spec.models.segmenters import LEAST_SIDE

_HEADS = ("classifier.4.", "classifier.low_classifier.", "classifier.high_classifier.")
"""How the tensors of the last layers are called: of FCN and DeepLabV3, and of LR-ASPP, which adds up two of them."""


class TorchvisionSegmentation(PartlyFrozen):
    """One of torchvision's nets, by its name there; answers with logits (N, outputs, height, width).

    The auxiliary head that FCN and DeepLabV3 can have is left out, also of weights that have one: it is a second
    answer, from a coarser level, whose loss would be no term of the mix that trials are compared by.

    image: (3, height, width), of any size from 32x32 on. weights: see `load_weights`; the last layer is only theirs if
    it has as many classes. freeze: see `frozen_by`, with torchvision's paths. TrialError if the weights don't fit
    (StorageError if they can't be had), and for images that the architecture can't take.
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
    ) -> None:
        require_pixels("torchvision_segmentation", image, least=LEAST_SIDE)
        if image[0] != 3:
            raise TrialError(f"{architecture} takes images of 3 channels, got {image[0]}. Set data.channels: 3.")
        super().__init__()
        self._settings: dict[str, Any] = {
            "architecture": architecture,
            "weights": weights,
            "normalize": normalize,
            "freeze": list(freeze),
        }
        self.normalization = normalization_for(architecture, weights) if normalize == "imagenet" else nn.Identity()
        self.net = _net(architecture, outputs)
        if weights is not None:
            head = [name for name, _ in self.net.named_parameters() if name.startswith(_HEADS)]
            load_weights(self.net, weights, architecture=architecture, head=head)
        self.freeze(self.net, freeze)

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.net(self.normalization(images))["out"]
        return answer

    def live_values(self) -> dict[str, object]:
        return {name: value for name, value in self._settings.items() if value is not None}


def _net(architecture: str, outputs: int) -> nn.Module:
    from torchvision.models import get_model

    # Without these it would download weights of its own accord, or have the auxiliary head.
    return get_model(architecture, weights=None, weights_backbone=None, num_classes=outputs, aux_loss=False)
