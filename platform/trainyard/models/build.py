"""From the model section of a job to a model."""

from difflib import get_close_matches
from pathlib import Path

from torch import nn

from trainyard.errors import TrialError
from trainyard.models.function import named_function
from trainyard.spec.models.settings import ModelSettings

ARCHITECTURES: dict[str, str] = {
    "cnn": "trainyard.models.cnn:Cnn",
    "mnist_net": "trainyard.models.mnist_net:MnistNet",
    "residual_net": "trainyard.models.residual_net:ResidualNet",
    "two_convolutions": "trainyard.models.two_convolutions:TwoConvolutions",
    "three_branches": "trainyard.models.three_branches:ThreeBranches",
    "locally_connected": "trainyard.models.locally_connected:LocallyConnected",
    "torchvision": "trainyard.models.torchvision:Torchvision",
    "transfer": "trainyard.models.transfer:Transfer",
    "unet": "trainyard.models.unet:Unet",
    "fast_scnn": "trainyard.models.fast_scnn:FastScnn",
    "deconvolution_net": "trainyard.models.deconvolution_net:DeconvolutionNet",
    "mobilenet_unet": "trainyard.models.mobilenet_unet:MobilenetUnet",
    "torchvision_segmentation": "trainyard.models.torchvision_segmentation:TorchvisionSegmentation",
    "centernet": "trainyard.models.centernet:CenterNet",
    "sam": "trainyard.models.sam:build",
    "faster_rcnn": "trainyard.models.faster_rcnn:FasterRcnn",
    "torchvision_detection": "trainyard.models.torchvision_detection:TorchvisionDetection",
}
"""Architecture name to `module:function`, imported when it is used."""


def build_model(
    settings: ModelSettings, image: tuple[int, int, int], outputs: int, directory: Path | None = None
) -> nn.Module:
    """A model for images (C, H, W) with so many outputs, initialised from torch's global random state.

    Known architectures and the user's own functions are called alike: `function(image=(C, H, W), outputs=K,
    **settings)`.
    directory: the job's, in which the user's module is looked for. TrialError for an unknown name, and for a function
    that returns no model or one without trainable parameters; what a function raises passes through.
    """
    name = settings.name
    if settings.fitted:
        raise TrialError(
            f"model {name}: it is fitted to features and has no layers of its own. Those of its extractor: trainyard "
            "models ARCHITECTURE."
        )
    if ":" in name:
        function = named_function(name, directory)
    elif name in ARCHITECTURES:
        function = named_function(ARCHITECTURES[name], None)
    else:
        raise TrialError(f"unknown model {name}. {_hint(name)}")
    model = function(image=image, outputs=outputs, **settings.settings)
    if not isinstance(model, nn.Module):
        raise TrialError(f"model {name}: it returned {type(model).__name__}, not a torch.nn.Module.")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise TrialError(f"model {name}: it has no trainable parameters.")
    return model


def _hint(name: str) -> str:
    close = get_close_matches(name, ARCHITECTURES, n=1)
    return (
        f"Did you mean {close[0]}?"
        if close
        else f"Known models: {', '.join(sorted(ARCHITECTURES))}, or module:function."
    )
