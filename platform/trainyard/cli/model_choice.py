"""Which model `trainyard models` is asked about, and on what images."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from trainyard.cli.options import split
from trainyard.cli.printing import counted
from trainyard.errors import DataError, SpecError, TrainyardError, UsageError
from trainyard.spec.fields import put_all
from trainyard.spec.hints import closest, listing
from trainyard.spec.model import MODELS, Model
from trainyard.spec.models.classifiers import Torchvision
from trainyard.spec.models.detectors import TorchvisionDetection
from trainyard.spec.models.promptable import EachStep, Sam, SamArchitecture, TinyEncoder
from trainyard.spec.models.segmenters import TorchvisionSegmentation
from trainyard.spec.models.settings import Backbone, ModelSettings
from trainyard.spec.models.svm import Svm
from trainyard.spec.overrides import read_overrides
from trainyard.spec.pretrained import Architecture, DetectionArchitecture, SegmentationArchitecture
from trainyard.spec.section import Section
from trainyard.spec.sentences import validate
from trainyard.spec.source import COMMAND_LINE, Source

if TYPE_CHECKING:
    from torch import nn

OUTPUTS = 10
"""Classes of a model for which nobody says how many."""

_SIZE = re.compile(r"([1-9]\d{0,3})x([1-9]\d{0,4})x([1-9]\d{0,4})")
Image = tuple[int, int, int]

_USUAL_IMAGE: Image = (3, 32, 32)
_USUAL: dict[str, Image] = {
    "mnist_net": (1, 28, 28),
    "unet": (3, 224, 224),
    "fast_scnn": (3, 360, 480),
    "deconvolution_net": (3, 224, 224),
    "mobilenet_unet": (3, 224, 224),
    "centernet": (3, 224, 224),
}
"""Images of the architectures that are made for others."""

_SAM_SIDE = 1024
"""Of the square that the published models fit images into."""


def _usual_image(settings: ModelSettings) -> Image | None:
    if isinstance(settings, Sam):
        side = (settings.encoder or TinyEncoder()).side if settings.architecture == "tiny" else _SAM_SIDE
        return 3, side, side
    return _USUAL.get(settings.name)


def _usual_outputs(settings: ModelSettings) -> int | None:
    """Of a model that answers with as many whatever the data."""
    return 1 if isinstance(settings, Sam) else None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line says."""

    name: str
    settings: Sequence[str]
    photos: Sequence[Path]
    image: Image | None
    outputs: int | None

    @classmethod
    def of(cls, arguments: Sequence[str], *, size: str | None, outputs: int | None) -> Self:
        """UsageError for a size that is none, and where no model is named."""
        files, settings = split(arguments)
        if not files:
            raise UsageError(f"which model has {settings[0]}? Write: trainyard models NAME [setting=value...]")
        image = None
        if size is not None:
            found = _SIZE.fullmatch(size)
            if found is None:
                raise UsageError(f"--input must be channels x height x width in pixels, such as 3x32x32, got {size}.")
            image = (int(found[1]), int(found[2]), int(found[3]))
        return cls(name=str(files[0]), settings=settings, photos=files[1:], image=image, outputs=outputs)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A model and the images that it is looked at with.

    name: as it was asked for. outputs_known: whether somebody said how many there are. classes: their names, if known.
    """

    name: str
    settings: ModelSettings
    image: Image
    outputs: int
    outputs_known: bool
    directory: Path | None = None
    classes: Sequence[str] = ()
    resize: Literal["stretch", "pad", "crop"] = "stretch"

    @property
    def weights(self) -> str | None:
        """The pretrained weights that are asked for."""
        settings = _pretrained(self.settings) or self.settings
        weights = getattr(settings, "weights", None) if "weights" in type(settings).model_fields else None
        return str(weights) if weights else None

    def shown(self, path: str) -> str:
        """The path of a module as settings such as `freeze` name it: of one of torchvision's nets, as it is there."""
        return ".".join(path.split(".")[self.nesting :]) if path.split(".")[0] == "net" else path

    @property
    def nesting(self) -> int:
        """Parts of paths that aren't shown."""
        return int(isinstance(self.settings, Torchvision | TorchvisionSegmentation | TorchvisionDetection | Sam))

    def build(self, *, weights: bool) -> Callable[[], "nn.Module"]:
        """Something that builds the model, with the weights that are asked for or with random ones."""
        settings = self.settings if weights else _without_weights(self.settings)

        def build() -> "nn.Module":
            from trainyard.models.build import build_model
            from trainyard.models.features import feature_extractor

            if isinstance(settings, Svm):  # what it is fitted to
                return feature_extractor(settings.features, self.image)
            if isinstance(settings, Sam):
                from trainyard.models.inspection.prompted import Prompted

                # With its image encoder, wherever a trial's embeddings are made.
                whole = settings.model_copy(update={"embeddings": EachStep(name="each_step")})
                return Prompted(build_model(whole, self.image, self.outputs))
            return build_model(settings, self.image, self.outputs, self.directory)

        return build


@contextmanager
def refused(choice: Choice) -> Iterator[None]:
    """Whatever building or running a model raises is an error of what was asked for."""
    from trainyard.training.failures import trial_errors

    doing = f"model {choice.name} on images of {'x'.join(map(str, choice.image))}"
    try:
        # What a model of the user's prints would stand among what is printed for machines.
        with trial_errors(doing), redirect_stdout(sys.stderr):
            yield
    except UsageError:
        raise
    except SystemExit as error:
        raise UsageError(f"{doing}: it ended the process by sys.exit({error.code!r}).") from error
    except TrainyardError as error:
        message = str(error)
        hint = " (here: --input CxHxW)" if "images" in message.removeprefix(doing) else ""
        raise UsageError(f"{message}{hint}") from error


def chosen(wanted: Wanted, *, classes: str | None = None) -> Choice:
    """UsageError, SpecError or DataError for whatever is wrong with what is asked for. classes: see class_options."""
    names: tuple[str, ...] = ()
    if classes is not None:
        from trainyard.data.formats.class_list import class_options

        names = class_options(classes)["classes"]
        wanted = replace(wanted, outputs=wanted.outputs or len(names))
    choice = _of_job(wanted) if wanted.name.endswith((".yaml", ".yml")) else _of_architecture(wanted)
    if not names:
        return choice
    if len(names) != choice.outputs:
        raise UsageError(f"--classes names {counted(len(names), 'class')}, but the model has {choice.outputs} outputs.")
    return replace(choice, classes=names)


def _of_job(wanted: Wanted) -> Choice:
    from trainyard.cli.planning import manifest_of
    from trainyard.data.shapes import DecodeSettings, image_shape
    from trainyard.spec.load import load_job
    from trainyard.tasks.automatic import resolved

    job = load_job(Path(wanted.name), wanted.settings)
    manifest = manifest_of(job)
    if manifest is not None:
        job = resolved(job, manifest)
    data = job.data
    if wanted.image is not None:
        image = wanted.image
    elif manifest is not None:
        image = image_shape(manifest, DecodeSettings.of(data, manifest), data.path)
    elif isinstance(data.image_size, tuple) and (channels := data.channels or job.model.image_channels) is not None:
        image = (channels, *data.image_size)
    else:
        raise DataError(f"there is no data set {data.path} to tell the size of the images. Add --input CxHxW.")
    return Choice(
        name=wanted.name,
        settings=job.model,
        image=image,
        outputs=wanted.outputs or (_outputs(job, manifest) if manifest else _usual_outputs(job.model) or OUTPUTS),
        outputs_known=wanted.outputs is not None or manifest is not None or _usual_outputs(job.model) is not None,
        directory=job.directory,
        classes=manifest.classes if manifest else (),
        resize=data.resize,
    )


def _outputs(job: Any, manifest: Any) -> int:
    """What the task asks its model for."""
    if job.model.fitted:  # there is no task to train it for
        return len(manifest.classes)
    import torch

    from trainyard.tasks.build import build_task

    return build_task(job, manifest, torch.device("cpu")).outputs


def _of_architecture(wanted: Wanted) -> Choice:
    settings = _settings(wanted)
    image, outputs = wanted.image or _usual_image(settings), wanted.outputs or _usual_outputs(settings)
    classes: tuple[str, ...] = ()
    pretrained = _pretrained(settings)
    if pretrained is not None:
        from trainyard.models.inspection.imagenet import categories, native_image

        image = image or native_image(pretrained.architecture)
        is_whole_model = pretrained is settings
        if is_whole_model:
            outputs = outputs or len(categories(pretrained.architecture))
            published = pretrained.weights is not None and outputs == len(categories(pretrained.architecture))
            classes = categories(pretrained.architecture) if published else ()
    return Choice(
        name=wanted.name,
        settings=settings,
        image=image or _USUAL_IMAGE,
        outputs=outputs or OUTPUTS,
        outputs_known=outputs is not None,
        directory=Path() if ":" in wanted.name else None,
        classes=classes,
    )


class _Named(Section):
    """A model by itself."""

    model: Model


def _settings(wanted: Wanted) -> ModelSettings:
    values, problems = read_overrides(wanted.settings)
    data: dict[str, Any] = {"model": _begun(wanted.name)}
    if ":" in wanted.name:  # whatever its function takes
        flaws = []
        data["model"].update(values)
    else:
        flaws = put_all(_Named, data, {f"model.{path}": value for path, value in values.items()})
    named, wrong = validate(_Named, data)
    problems += Source(file=COMMAND_LINE).locate([*flaws, *wrong])
    if named is None or problems:
        raise SpecError(problems)
    return named.model


def _begun(name: str) -> dict[str, Any]:
    architectures = get_args(Architecture)
    segmenters = get_args(SegmentationArchitecture)
    detectors = get_args(DetectionArchitecture)
    promptable = get_args(SamArchitecture)
    if name in MODELS or ":" in name:
        return {"name": name}
    if name in architectures:
        return {"name": "torchvision", "architecture": name}
    if name in segmenters:
        return {"name": "torchvision_segmentation", "architecture": name}
    if name in detectors:
        return {"name": "torchvision_detection", "architecture": name}
    if name in promptable:
        return {"name": "sam", "architecture": name}
    close = closest(name, [*MODELS, *architectures, *segmenters, *detectors, *promptable])
    hint = f"Did you mean {close}?" if close else f"There are {listing(MODELS, last='and')}, {_OTHERS}."
    raise UsageError(f"unknown model {name}. {hint} All of them: trainyard models")


_OTHERS = (
    "the models of torchvision that classify, segment or find boxes, your own module:function, and jobs (FILE.yaml)"
)


def _pretrained(settings: ModelSettings) -> Any:
    """The section that names an architecture of torchvision and its weights: the model's own, or one below it."""
    sections = [settings, *(value for _, value in settings if isinstance(value, Backbone))]
    return next((part for part in sections if hasattr(part, "architecture") and not isinstance(part, Sam)), None)


def _without_weights(settings: ModelSettings) -> ModelSettings:
    """The same, with random weights: what the layers cost and see doesn't depend on them."""
    backbones = {name: value for name, value in settings if isinstance(value, Backbone)}
    changes: dict[str, Any] = {name: value.model_copy(update={"weights": None}) for name, value in backbones.items()}
    changes |= {name: None for name in ("weights", "weights_backbone") if name in type(settings).model_fields}
    return settings.model_copy(update=changes)
