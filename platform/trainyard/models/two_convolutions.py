"""Two convolutions: the plainest block, to compare others with."""

from torch import nn

from trainyard.models.blocks import require_pixels
from trainyard.models.heads import Head, head_for, kind_of

CHANNELS = (16, 32)


class TwoConvolutions(nn.Sequential):
    """Two valid 3x3 convolutions to 16 and to 32 channels, each followed by ReLU: a receptive field of 5 pixels.

    image: (channels, n, m) to feature maps (N, 32, n - 4, m - 4) without a head: on 3 channels 448 + 4,640 = 5,088
    parameters. TrialError for images of less than 5 pixels.
    """

    def __init__(self, *, image: tuple[int, int, int], outputs: int, head: Head = "linear") -> None:
        require_pixels("two_convolutions", image, least=5)
        first, second = CHANNELS
        super().__init__(
            nn.Conv2d(image[0], first, 3),
            nn.ReLU(),
            nn.Conv2d(first, second, 3),
            nn.ReLU(),
            head_for(head, second, outputs),
        )

    def live_values(self) -> dict[str, object]:
        return {"head": kind_of(self[-1])}
