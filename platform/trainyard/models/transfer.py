"""A small classifier on the feature maps of a pretrained network, which stays as it is."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from trainyard.errors import TrialError
from trainyard.models.cnn import Cnn
from trainyard.models.features import feature_extractor, output_shape
from trainyard.spec.models.settings import Backbone


class Transfer(nn.Module):
    """Frozen layers of one of torchvision's nets; on their feature maps 3x3 convolution, ReLU and max pooling by 2 for
    each of `channels`, then dropout and a dense layer.

    image: (3, height, width). backbone: a spec.models.settings.Backbone's settings. With its defaults, on ResNet-50 for
    224x224 pixels and 10 outputs: 1,182,282 trained parameters and 23,508,032 frozen ones. TrialError if nothing is
    left of the feature maps, and for what `feature_extractor` refuses.
    """

    def __init__(
        self,
        *,
        image: tuple[int, int, int],
        outputs: int,
        backbone: Mapping[str, Any],
        channels: Sequence[int] = (64,),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self._settings = Backbone.model_validate(dict(backbone))
        self.backbone = feature_extractor(self._settings, image)
        shape = output_shape(self.backbone, image)
        if len(shape) != 3:
            raise TrialError(
                f"until: {self._settings.until} answers with {'x'.join(map(str, shape))} numbers for an image, not "
                "with feature maps. Name a node before the pooling."
            )
        try:
            self.head = Cnn(image=(shape[0], shape[1], shape[2]), outputs=outputs, channels=channels, dropout=dropout)
        except TrialError as error:
            raise TrialError(
                f"model transfer: the feature maps are {shape[1]}x{shape[2]} for images of {image[1]}x{image[2]}, too "
                f"small for {len(channels)} valid 3x3 convolutions, each followed by pooling. Use fewer channels, an "
                "earlier backbone.until, or a larger data.image_size."
            ) from error

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images))

    def live_values(self) -> dict[str, object]:
        head = self.head.live_values()
        backbone = self._settings.model_dump(exclude_none=True)
        return {"backbone": backbone, "channels": head["channels"], "dropout": head["dropout"]}
