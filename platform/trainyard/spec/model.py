"""The model of a job: a known architecture with its settings, or the user's own function."""

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from trainyard.spec.models.classifiers import (
    Cnn,
    LocallyConnected,
    MnistNet,
    ResidualNet,
    ThreeBranches,
    Torchvision,
    Transfer,
    TwoConvolutions,
)
from trainyard.spec.models.detectors import CenterNet, FasterRcnn, TorchvisionDetection
from trainyard.spec.models.promptable import Sam
from trainyard.spec.models.segmenters import (
    DeconvolutionNet,
    FastScnn,
    MobilenetUnet,
    TorchvisionSegmentation,
    Unet,
)
from trainyard.spec.models.settings import OWN_MODEL, ModelSettings
from trainyard.spec.models.svm import Svm

MODELS: dict[str, type[ModelSettings]] = {
    "cnn": Cnn,
    "mnist_net": MnistNet,
    "residual_net": ResidualNet,
    "two_convolutions": TwoConvolutions,
    "three_branches": ThreeBranches,
    "locally_connected": LocallyConnected,
    "torchvision": Torchvision,
    "transfer": Transfer,
    "unet": Unet,
    "fast_scnn": FastScnn,
    "deconvolution_net": DeconvolutionNet,
    "mobilenet_unet": MobilenetUnet,
    "torchvision_segmentation": TorchvisionSegmentation,
    "centernet": CenterNet,
    "faster_rcnn": FasterRcnn,
    "torchvision_detection": TorchvisionDetection,
    "sam": Sam,
    "svm": Svm,
}
"""The known architectures and their settings."""


def models_for(task: str) -> list[str]:
    """The known architectures that fit a task."""
    return sorted(name for name, model in MODELS.items() if task in model.tasks)


def _variant(value: Any) -> str | None:
    if isinstance(value, ModelSettings):
        value = {"name": value.name}
    name = value.get("name") if isinstance(value, dict) else None
    if name is None:
        return None
    return OWN_MODEL if isinstance(name, str) and ":" in name else str(name)


Model = Annotated[
    Annotated[Cnn, Tag("cnn")]
    | Annotated[MnistNet, Tag("mnist_net")]
    | Annotated[ResidualNet, Tag("residual_net")]
    | Annotated[TwoConvolutions, Tag("two_convolutions")]
    | Annotated[ThreeBranches, Tag("three_branches")]
    | Annotated[LocallyConnected, Tag("locally_connected")]
    | Annotated[Torchvision, Tag("torchvision")]
    | Annotated[Transfer, Tag("transfer")]
    | Annotated[Unet, Tag("unet")]
    | Annotated[FastScnn, Tag("fast_scnn")]
    | Annotated[DeconvolutionNet, Tag("deconvolution_net")]
    | Annotated[MobilenetUnet, Tag("mobilenet_unet")]
    | Annotated[TorchvisionSegmentation, Tag("torchvision_segmentation")]
    | Annotated[CenterNet, Tag("centernet")]
    | Annotated[FasterRcnn, Tag("faster_rcnn")]
    | Annotated[TorchvisionDetection, Tag("torchvision_detection")]
    | Annotated[Sam, Tag("sam")]
    | Annotated[Svm, Tag("svm")]
    | Annotated[ModelSettings, Tag(OWN_MODEL)],
    Discriminator(_variant),
]
