"""Jobs whose model is fitted at once: what they do without, and what they are refused."""

from typing import Any

import pytest

from trainyard.errors import SpecError
from trainyard.spec import check
from trainyard.spec.job import Job
from trainyard.spec.models.svm import Svm
from trainyard.spec.space import Space


def svm(**sections: Any) -> dict[str, Any]:
    job: dict[str, Any] = {
        "name": "vehicles-svm",
        "task": "classification",
        "data": {"path": "data/vehicles"},
        "model": {"name": "svm", "features": {"architecture": "vgg16", "weights": "IMAGENET1K_V1"}},
        "training": {"epochs": 1, "batch_size": 16},
        "objective": {"metric": "val/accuracy", "mode": "max"},
    }
    for name, values in sections.items():
        job[name] = job.get(name, {}) | values
    return job


def told(data: dict[str, Any]) -> list[str]:
    with pytest.raises(SpecError) as caught:
        Job.from_dict(data)
    return [problem.message for problem in caught.value.problems]


def test_it_needs_neither_loss_nor_optimizer() -> None:
    job = Job.from_dict(svm())

    assert (job.loss, job.optimizer) == (None, None)
    assert isinstance(job.model, Svm)
    assert (job.model.kernel, job.model.gamma, job.model.features.pool) == ("rbf", "scale", "average")
    assert Job.from_dict(job.to_dict()) == job
    assert Job.from_dict(job.stated()) == job
    assert not any(path.startswith(("loss", "optimizer")) for path in job.values())


def test_every_other_model_needs_both() -> None:
    job = svm() | {"model": {"name": "cnn"}}
    assert told(job) == [
        "loss is missing. Add it, such as loss: {cross_entropy: {weight: 1.0}}.",
        "optimizer is missing. Add it, such as optimizer: {name: adamw, lr: 0.001}.",
    ]


def test_nothing_is_said_of_what_is_missing_while_the_model_is_unknown() -> None:
    (message,) = told(svm(model={"name": "svn"}))
    assert message.startswith("model.name must be ")
    assert message.endswith('got "svn". Did you mean svm?')


FITTED = "doesn't fit the model svm, which is fitted at once and not step by step. Remove it."


@pytest.mark.parametrize(
    ("sections", "messages"),
    [
        ({"loss": {"cross_entropy": {}}}, [f"loss {FITTED}"]),
        ({"optimizer": {"name": "sgd", "lr": 0.1}}, [f"optimizer {FITTED}"]),
        ({"schedule": {"name": "cosine"}}, [f"schedule {FITTED}"]),
        (
            {"augmentations": {"horizontal_flip": {}}},
            [
                "augmentations doesn't fit the model svm, whose features are extracted once, from the images as they "
                "are. Remove it."
            ],
        ),
        (
            {"training": {"epochs": 10}},
            ["training.epochs must be 1 for the model svm, which is fitted at once, got 10."],
        ),
        (
            {"training": {"clip_grad_norm": 1.0, "precision": "bfloat16", "last_batch": "pad"}},
            [f"training.clip_grad_norm {FITTED}", f"training.last_batch {FITTED}", f"training.precision {FITTED}"],
        ),
        (
            {"training": {"early_stopping": {"metric": "val/loss", "patience": 3}}},
            [f"training.early_stopping {FITTED}"],
        ),
        ({"training": {"sampling": {"name": "class_balanced"}}}, [f"training.sampling {FITTED}"]),
        (
            {"resources": {"workers": 2}},
            [
                "resources.workers must be 1 for the model svm, which is fitted as a whole, got 2. A sweep fits as "
                "many trials at a time as the cluster holds."
            ],
        ),
        ({"model": {"gamma": 0}}, ["model.gamma must be > 0, got 0."]),
        ({"model": {"gamma": "large"}}, ['model.gamma must be scale or auto, got "large".']),
        ({"model": {"C": 0}}, ["model.C must be > 0, got 0."]),
        (
            {"model": {"features": {"architecture": "vgg16", "weights": "IMAGENET1K_V9"}}},
            [
                "model.features.weights must be DEFAULT, IMAGENET1K_V1 or IMAGENET1K_FEATURES of vgg16, or a file such "
                'as weights/vgg16.safetensors, got "IMAGENET1K_V9". Did you mean IMAGENET1K_V1?'
            ],
        ),
        (
            {"task": {}, "model": {"features": {"architecture": "vit_b_16"}}},
            [
                "model.features.architecture must have feature maps, and vit_b_16 has tokens instead. Take a "
                "convolutional one, such as resnet50."
            ],
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_it_has_no_use_for_is_refused(sections: dict[str, Any], messages: list[str]) -> None:
    sections = {name: values for name, values in sections.items() if values}
    assert told(svm(**sections)) == messages


def space(**parameters: Any) -> Space:
    return Space.from_dict({"parameters": parameters, "search": {"trials": 3}})


def test_what_is_fitted_can_be_searched() -> None:
    job = Job.from_dict(svm())
    number = {"type": "float", "low": 1e-4, "high": 10, "log": True}
    searched = {
        "model.C": number,
        "model.kernel": {"type": "categorical", "choices": ["linear", "rbf", "poly", "sigmoid"]},
        "model.gamma": {**number, "when": {"model.kernel": ["rbf", "poly", "sigmoid"]}},
        "model.degree": {"type": "int", "low": 2, "high": 4, "when": {"model.kernel": "poly"}},
        "model.class_weight": {"type": "categorical", "choices": ["none", "balanced"]},
        "model.max_rows": {"type": "int", "low": 50, "high": 500},
    }
    check(job, space(**searched))
    check(job, space(**{"model.gamma": {"type": "categorical", "choices": ["scale", "auto", 0.1]}}))
    assert job.with_values({"model.gamma": 0.5}).values()["model.gamma"] == 0.5


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("training.batch_size", "it is the images that go through the extractor at a time"),
        ("training.checkpoint_seconds", "a fit is kept when it is done"),
        ("training.seed", "features are extracted once for all trials, with the weights that the job's seed draws"),
    ],
)
def test_what_makes_no_difference_to_a_fit_cannot(path: str, reason: str) -> None:
    numbers = {"type": "int", "low": 8, "high": 16}
    with pytest.raises(SpecError) as caught:
        check(Job.from_dict(svm()), space(**{path: numbers}))
    assert [problem.message for problem in caught.value.problems] == [
        f"{path} can't be searched: {reason}. Set it in the job."
    ]

    trained = {"model": {"name": "cnn"}, "loss": {"cross_entropy": {}}, "optimizer": {"name": "sgd", "lr": 0.1}}
    check(Job.from_dict(svm() | trained), space(**{path: numbers}))


def test_what_is_extracted_cannot() -> None:
    pool = {"type": "categorical", "choices": ["average", "flatten"]}
    with pytest.raises(
        SpecError, match=r"model\.features\.pool can't be searched: features are extracted once for all"
    ):
        check(Job.from_dict(svm()), space(**{"model.features.pool": pool}))
