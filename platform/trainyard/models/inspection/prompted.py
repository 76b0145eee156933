"""A promptable model as one that takes images alone, to be looked at like any other."""

from torch import Tensor, nn


class Prompted(nn.Module):
    """Asks a model for one object, the box of which is the whole image.

    net: called with images (N, 3, H, W) and float32 boxes (N, 1, 4), as spec.models.promptable's models are.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        count, _, height, width = images.shape
        box = images.new_tensor([0.0, 0.0, float(width), float(height)])
        logits: Tensor = self.net(images, box.expand(count, 1, 4))
        return logits
