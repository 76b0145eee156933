"""Models by name: known architectures and the user's own functions."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainyard.errors import TrialError
from trainyard.models.build import ARCHITECTURES, build_model
from trainyard.models.cnn import Cnn
from trainyard.models.function import named_function
from trainyard.spec.model import MODELS
from trainyard.spec.models.settings import ModelSettings

IMAGE = (1, 8, 8)
NETS = """
import torch
from own_parts import width

def linear(image, outputs, bias=True):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(image[0] * image[1] * image[2], outputs, bias=bias))

def nothing(image, outputs):
    return {"model": 1}

def frozen(image, outputs):
    return linear(image, outputs).requires_grad_(False)

CONSTANT = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "own_nets.py").write_text(NETS)
    (tmp_path / "own_parts.py").write_text("width = 3\n")
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("own_"):
            del sys.modules[name]


def problem_of(name: str, folder: Path) -> str:
    with pytest.raises(TrialError) as error:
        build_model(ModelSettings(name=name), IMAGE, 10, folder)
    return str(error.value)


def test_every_architecture_has_its_settings_in_the_spec() -> None:
    assert set(ARCHITECTURES) == {name for name, settings in MODELS.items() if not settings.fitted}


def test_a_known_architecture_takes_its_settings() -> None:
    settings = MODELS["cnn"].model_validate({"name": "cnn", "channels": [4, 8], "padding": "same"})
    model = build_model(settings, IMAGE, 10)
    assert isinstance(model, Cnn)
    assert model.live_values()["channels"] == [4, 8]


def test_an_own_function_is_found_beside_the_job_with_the_files_it_imports(folder: Path) -> None:
    model = build_model(ModelSettings(name="own_nets:linear", bias=False), IMAGE, 10, folder)
    assert sum(parameter.numel() for parameter in model.parameters()) == 640


def test_two_jobs_may_have_modules_of_one_name(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert named_function("own_nets:linear", folder).__module__ == "own_nets"
    other = tmp_path_factory.mktemp("other")
    (other / "own_nets.py").write_text("def linear(image, outputs): return 'the other'\n")
    assert named_function("own_nets:linear", other)(IMAGE, 10) == "the other"
    assert named_function("own_nets:nothing", folder)(IMAGE, 10) == {"model": 1}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_net:linear", "there is no module own_net in"),
        ("own_nets.deep:linear", "there is no module own_nets.deep in"),
        ("own_nets:liner", "has no function liner. Did you mean own_nets:linear?"),
        ("own_nets:CONSTANT", "has no function CONSTANT."),
        ("own_nets:nothing", "model own_nets:nothing: it returned dict, not a torch.nn.Module."),
        ("own_nets:frozen", "model own_nets:frozen: it has no trainable parameters."),
    ],
)
def test_a_function_that_is_of_no_use(folder: Path, name: str, message: str) -> None:
    assert message in problem_of(name, folder)


def test_a_module_whose_own_import_fails_says_which(folder: Path) -> None:
    (folder / "own_broken.py").write_text("import own_missing\n")
    with pytest.raises(ModuleNotFoundError, match=r"own_missing"):
        named_function("own_broken:build", folder)


def test_an_unknown_architecture_gets_a_hint() -> None:
    with pytest.raises(TrialError, match=r"unknown model cnm. Did you mean cnn\?"):
        build_model(ModelSettings.model_construct(name="cnm"), IMAGE, 10)
    with pytest.raises(
        TrialError, match=r"Known models: centernet, cnn, deconvolution_net, .*, unet, or module:function"
    ):
        build_model(ModelSettings.model_construct(name="gpt"), IMAGE, 10)
