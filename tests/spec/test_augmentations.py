"""Every setting of the augmentations can be stated, searched and read back."""

from typing import Any

import pytest

from trainyard.spec import Job, Space, check, json_schema
from trainyard.spec.augmentations import KINDS, Augmentations
from trainyard.spec.section import flatten, plain

REQUIRED: dict[str, dict[str, float]] = {
    "padding_crop": {"pixels": 4},
    "rotate": {"degrees": 10},
    "translate": {"fraction": 0.1},
    "scale": {"low": 0.9, "high": 1.1},
    "shear": {"degrees": 10, "vertical_degrees": 5},
    "brightness": {"amount": 0.2},
    "contrast": {"amount": 0.2},
    "saturation": {"amount": 0.2},
    "hue": {"amount": 0.1},
    "posterize": {"bits": 4},
    "solarize": {"threshold": 0.5},
    "sharpness": {"amount": 0.5},
    "noise": {"std": 0.1},
    "cutout": {"fraction": 0.5},
    "mixup": {"alpha": 0.2, "p": 0.5},
    "cutmix": {"alpha": 1.0, "p": 0.5},
}
EVERYTHING = {name: REQUIRED.get(name, {}) for name in KINDS}
JOB = Job.from_dict(
    {
        "name": "job",
        "task": "classification",
        "data": {"path": "data/digits"},
        "model": {"name": "cnn"},
        "loss": {"cross_entropy": {}},
        "augmentations": EVERYTHING,
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "training": {"epochs": 2, "batch_size": 8},
        "objective": {"metric": "val/accuracy", "mode": "max"},
    }
)
PATHS = {f"augmentations.{path}": value for path, value in flatten(plain(JOB.augmentations)).items()}


def distribution(value: Any) -> dict[str, Any]:
    """Some range that ends at the value, or its choices."""
    if isinstance(value, str):
        return {"type": "categorical", "choices": ["constant", "edge", "reflect"]}
    if isinstance(value, int):
        return {"type": "int", "low": max(1, value - 2), "high": max(2, value)}
    return {"type": "float", "low": 0.9 * value, "high": value or 1.0}


def test_there_are_as_many_settings_as_fields() -> None:
    assert len(PATHS) == sum(len(kind.model_fields) for kind in KINDS.values()) + 3


def test_a_space_can_search_every_setting() -> None:
    space = Space.from_dict({"parameters": {path: distribution(value) for path, value in PATHS.items()}})
    check(JOB, space)


@pytest.mark.parametrize("path", PATHS)
def test_a_value_that_is_set_is_read_back(path: str) -> None:
    choices = {"border": "reflect", "fill": 0.5}
    value = choices.get(path.rpartition(".")[2], PATHS[path])
    assert JOB.with_values({path: value}).values()[path] == value


def test_the_augmentations_that_are_stated() -> None:
    augmentations = Augmentations.model_validate({"rotate": {"degrees": 3, "p": 0.0}, "fill": 0.5})
    assert list(augmentations.stated()) == ["rotate"]


def test_every_setting_says_what_it_means() -> None:
    definitions = json_schema("job")["$defs"]
    for kind in KINDS.values():
        assert definitions[kind.__name__]["description"]
        for field in definitions[kind.__name__]["properties"].values():
            assert field["description"]
