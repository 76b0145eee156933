"""The settings of models, and what is refused before anything is imported."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainyard.errors import SpecError
from trainyard.spec import Job
from trainyard.spec.model import MODELS
from trainyard.spec.models.classifiers import Transfer
from trainyard.spec.models.settings import Backbone

DATA: dict[str, Any] = {
    "name": "pictures",
    "task": "classification",
    "data": {"path": "data/pictures"},
    "loss": {"cross_entropy": {}},
    "optimizer": {"name": "adam", "lr": 1e-3},
    "training": {"epochs": 1, "batch_size": 2},
    "objective": {"metric": "val/accuracy", "mode": "max"},
}


def job_of(model: dict[str, Any]) -> Job:
    return Job.from_dict(DATA | {"model": model})


def problem_of(model: dict[str, Any]) -> str:
    with pytest.raises(SpecError) as caught:
        job_of(model)
    return "\n".join(problem.message for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"name": "torchvision", "architecture": "resnet5"},
            "model.architecture must be alexnet, convnext_base, convnext_large, convnext_small, convnext_tiny, "
            "densenet121, densenet161, densenet169, densenet201, efficientnet_b0, efficientnet_b1 or 69 more, got "
            '"resnet5". Did you mean resnet50?',
        ),
        ({"name": "torchvision"}, "model.architecture is missing. Add it, such as architecture: resnet50."),
        (
            {"name": "torchvision", "architecture": "resnet50", "weights": "IMAGENET1K_V3"},
            "model.weights must be DEFAULT, IMAGENET1K_V1 or IMAGENET1K_V2 of resnet50, or a file such as "
            'weights/resnet50.safetensors, got "IMAGENET1K_V3". Did you mean IMAGENET1K_V2?',
        ),
        (
            {"name": "torchvision", "architecture": "vgg11", "weights": ""},
            "model.weights must be DEFAULT or IMAGENET1K",
        ),
        (
            {"name": "torchvision", "architecture": "resnet18", "weights": "weights/resnet18.bin"},
            'model.weights must be a file that ends in .safetensors, .pt or .pth, got "weights/resnet18.bin".',
        ),
        (
            {"name": "torchvision", "architecture": "resnet18", "weights": "s3://bucket/resnet18.pth"},
            'model.weights must be a file on a disk, got "s3://bucket/resnet18.pth". Download it first.',
        ),
        (
            {"name": "torchvision", "architecture": "resnet18", "dropout": 0.1},
            "model.dropout doesn't fit resnet18, whose classifier has no dropout. Remove it.",
        ),
        ({"name": "torchvision", "architecture": "vgg11", "dropout": 1.0}, "model.dropout must be < 1, got 1.0."),
        (
            {"name": "torchvision", "architecture": "vgg11", "freeze": "features"},
            'model.freeze must be a list, got "features".',
        ),
        ({"name": "transfer"}, "model.backbone is missing. Add it, such as backbone: {architecture: resnet50, "),
        (
            {"name": "transfer", "backbone": {"architecture": "vit_b_16"}},
            "model.backbone.architecture must have feature maps, and vit_b_16 has tokens instead. Take a convolutional "
            "one, such as resnet50.",
        ),
        (
            {"name": "transfer", "backbone": {"architecture": "vgg16", "weights": "IMAGENET1K_V2"}},
            "model.backbone.weights must be DEFAULT, IMAGENET1K_V1 or IMAGENET1K_FEATURES of vgg16",
        ),
        (
            {"name": "transfer", "backbone": {"architecture": "vgg16", "layer": "features"}},
            "unknown setting model.backbone.layer.",
        ),
        ({"name": "residual_net", "depth": 21}, "model.depth must be 6n + 2, such as 20 or 26, got 21."),
        ({"name": "residual_net", "depth": 2}, "model.depth must be >= 8, got 2."),
        ({"name": "residual_net", "widths": [16, 32]}, "model.widths is too short: item 3 is missing."),
        (
            {"name": "three_branches", "head": "none"},
            "model.head must be linear in a job: without a head three_branches answers with feature maps.",
        ),
        ({"name": "mnist_net", "batch_norm": 1}, "model.batch_norm must be true or false, got 1."),
    ],
    ids=lambda value: "-".join(map(str, value.values()))[:40] if isinstance(value, dict) else "",
)
def test_a_model_that_cannot_be(model: dict[str, Any], message: str) -> None:
    assert message in problem_of(model)


@pytest.mark.parametrize(
    "model",
    [
        {"name": "torchvision", "architecture": "vgg16", "weights": "DEFAULT", "freeze": ["features"], "dropout": 0.2},
        {"name": "torchvision", "architecture": "resnet50", "weights": "../elsewhere/net.pt"},
        {"name": "transfer", "backbone": {"architecture": "resnet50", "weights": "IMAGENET1K_V2", "until": "bn1"}},
        {"name": "residual_net", "depth": 110, "shortcuts": False},
        {"name": "locally_connected"},
        {"name": "mnist_net", "channels": [8, 8, 8], "input_dropout": 0.2, "dropout": 0.5},
    ],
    ids=lambda model: model["name"],
)
def test_a_model_comes_back_from_its_yaml(model: dict[str, Any], tmp_path: Path) -> None:
    from trainyard.spec import load_job

    job = job_of(model)
    (tmp_path / "job.yaml").write_text(job.to_yaml())
    assert load_job(tmp_path / "job.yaml") == job
    assert Job.from_dict(job.to_dict()) == job


def test_an_architecture_is_searchable_with_what_is_below_it() -> None:
    job = job_of({"name": "transfer", "backbone": {"architecture": "resnet18"}})
    other = job.with_values({"model.backbone.architecture": "vgg11", "model.backbone.until": "features.5"})
    assert isinstance(other.model, Transfer)
    assert other.model.backbone == Backbone(architecture="vgg11", until="features.5")
    with pytest.raises(SpecError, match=r"model.backbone.weights must be DEFAULT or IMAGENET1K_V1 of vgg11"):
        other.with_values({"model.backbone.weights": "IMAGENET1K_V2"})


@pytest.mark.parametrize("name", MODELS)
def test_files_are_found_from_the_folder_of_the_command_and_nothing_else_changes(name: str) -> None:
    vgg = {"architecture": "vgg11"}
    needed: dict[str, Any] = {"torchvision": vgg, "transfer": {"backbone": vgg}, "svm": {"features": vgg}}
    needed["torchvision_segmentation"] = {"architecture": "fcn_resnet50"}
    needed["torchvision_detection"] = {"architecture": "fcos_resnet50_fpn"}
    needed["sam"] = {"architecture": "tiny"}
    settings = MODELS[name].model_validate({"name": name, **needed.get(name, {})})
    assert settings.located(Path("/somewhere")) == settings


def test_a_relative_file_becomes_absolute_in_workers_that_run_elsewhere() -> None:
    flat = job_of({"name": "torchvision", "architecture": "vgg11", "weights": "weights/a.pth"}).model
    nested = job_of({"name": "transfer", "backbone": {"architecture": "vgg11", "weights": "weights/a.pth"}}).model
    absolute = job_of({"name": "torchvision", "architecture": "vgg11", "weights": "/b/a.pth"}).model

    assert flat.located(Path("/home")).settings["weights"] == "/home/weights/a.pth"
    assert nested.located(Path("/home")).settings["backbone"]["weights"] == "/home/weights/a.pth"
    assert absolute.located(Path("/home")).settings["weights"] == "/b/a.pth"
    assert flat.settings["weights"] == "weights/a.pth"


def test_a_setting_of_ones_own_model_is_left_as_it_is() -> None:
    own = job_of({"name": "nets:build", "weights": "weights/a.pth"}).model

    assert list(own.files()) == []
    assert own.located(Path("/home")).settings == {"weights": "weights/a.pth"}


def test_a_job_remembers_the_folder_that_it_was_read_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    monkeypatch.chdir(tmp_path)
    job = job_of({"name": "cnn"})
    monkeypatch.chdir("/")
    again = pickle.loads(pickle.dumps(job)).with_values({"training.epochs": 3})
    assert again.working_directory == tmp_path


def test_names_are_refused_without_torchvision() -> None:
    code = (
        "import sys\nfrom trainyard.spec.model import MODELS\n"
        "try: MODELS['torchvision'].model_validate({'name': 'torchvision', 'architecture': 'resnet5'})\n"
        "except ValueError: print([name for name in ('torch', 'torchvision') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
