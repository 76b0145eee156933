"""The architectures as a list: from their declarations, without importing any of them."""

import textwrap
from typing import Any, get_args

from pydantic_core import PydanticUndefined

from trainyard.cli.printing import terminal_width
from trainyard.spec.model import MODELS
from trainyard.spec.models.settings import OWN_MODEL, ModelSettings
from trainyard.spec.pretrained import Architecture, DetectionArchitecture, SegmentationArchitecture
from trainyard.spec.scalars import write
from trainyard.spec.section import plain

_WIDTH = 120


def architectures() -> dict[str, Any]:
    """Every architecture with what its settings are, and the names in torchvision that there are."""
    own = {name: _facts(model) for name, model in MODELS.items()}
    return {
        "models": own,
        "torchvision": list(get_args(Architecture)),
        "torchvision_segmentation": list(get_args(SegmentationArchitecture)),
        "torchvision_detection": list(get_args(DetectionArchitecture)),
        OWN_MODEL: _line(ModelSettings),
    }


def architecture_lines() -> list[str]:
    width = min(terminal_width() or _WIDTH, _WIDTH)
    lines: list[str] = []
    for name, model in MODELS.items():
        facts = _facts(model)
        settings = ", ".join(_setting(setting, about) for setting, about in facts["settings"].items())
        lines += [f"{name}  ({', '.join(facts['tasks'])})", *_indented(facts["about"], width)]
        lines += _indented(f"settings: {settings}", width) if settings else []
    lines += [OWN_MODEL, *_indented(_line(ModelSettings), width)]
    kinds = {"classify": Architecture, "segment": SegmentationArchitecture, "find boxes": DetectionArchitecture}
    for kind, named in kinds.items():
        names = get_args(named)
        lines += [
            "",
            f"{len(names)} architectures of torchvision that {kind}, by their names there:",
            *_indented(", ".join(names), width),
        ]
    return [*lines, "", "Layers, receptive fields and costs of one: trainyard models NAME"]


def _facts(model: type[ModelSettings]) -> dict[str, Any]:
    fields = {name: field for name, field in model.model_fields.items() if name != "name"}
    return {
        "about": _line(model),
        "tasks": sorted(model.tasks),
        "settings": {
            name: {"required": field.is_required(), "about": field.description or ""}
            | ({} if field.default is PydanticUndefined else {"default": plain(field.default)})
            for name, field in fields.items()
        },
    }


def _line(model: type[ModelSettings]) -> str:
    return " ".join((model.__doc__ or "").split())


def _setting(name: str, about: dict[str, Any]) -> str:
    if about["required"]:
        return f"{name} (required)"
    return name if about["default"] is None else f"{name}={write(about['default'])}"


def _indented(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
