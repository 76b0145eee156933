"""Pretrained weights, from files that the tests make and from torchvision's cache."""

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn

from trainyard.errors import StorageError, TrainyardError, TrialError
from trainyard.models.states import to_bytes
from trainyard.models.weights import load_weights

State = dict[str, Tensor]
SQUEEZENET = "squeezenet1_1-b8a52dc0.pth"


class Net(nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.fc = nn.Linear(4, classes)


HEAD = ("fc.weight", "fc.bias")


def load(net: nn.Module, weights: Path | str, **settings: Any) -> Any:
    load_weights(net, str(weights), architecture="net", **settings)
    return net


def problem_of(
    weights: Path | str, net: nn.Module | None = None, *, kind: type[TrainyardError] = TrialError, **settings: Any
) -> str:
    with pytest.raises(kind) as refusal:
        load(net or Net(), weights, **settings)
    return str(refusal.value)


def safetensors(state: State, path: Path) -> Path:
    from safetensors.torch import save_file

    save_file(dict(state), path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


def saved(content: Any, path: Path) -> Path:
    torch.save(content, path.with_suffix(".pth"))
    return path.with_suffix(".pth")


def checkpoint(state: State, path: Path) -> Path:
    """As a trial writes it, whose model has the net and constants without a state beside it."""
    wrapped = {f"net.{name}": tensor for name, tensor in state.items()}
    content = {"history": [{"val/loss": 1.0}], "learner": {"model": wrapped, "optimizer": {}, "precision": {}}}
    path.with_suffix(".pt").write_bytes(to_bytes(content))
    return path.with_suffix(".pt")


WAYS: dict[str, Callable[[State, Path], Path]] = {
    "safetensors": safetensors,
    "state_dict": saved,
    "checkpoint of a trial": checkpoint,
    "under state_dict": lambda state, path: saved({"epoch": 3, "state_dict": state, "args": {"lr": 0.1}}, path),
    "under model": lambda state, path: saved({"model": dict(state), "optimizer": {"step": 1}}, path),
    "of parallel training": lambda state, path: saved({f"module.net.{n}": t for n, t in state.items()}, path),
    "of an old format": lambda state, path: old_format(state, path),
}


def old_format(state: State, path: Path) -> Path:
    torch.save(state, path.with_suffix(".pth"), _use_new_zipfile_serialization=False)
    return path.with_suffix(".pth")


@pytest.mark.parametrize("way", WAYS)
def test_weights_come_from_a_file(way: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    source = Net()
    source.state_dict()["features.1.running_mean"].normal_()
    file = WAYS[way](source.state_dict(), tmp_path / "weights")

    net = load(Net(), file, head=HEAD)

    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name]), name


@pytest.mark.parametrize("classes", [2, 1000])
def test_a_head_for_other_classes_stays_the_nets_own_as_a_whole(classes: int, tmp_path: Path) -> None:
    source, net = Net(classes), Net()
    before = {name: net.state_dict()[name].clone() for name in HEAD}
    load(net, saved(source.state_dict(), tmp_path / "w"), head=HEAD)
    assert torch.equal(net.state_dict()["features.0.bias"], source.state_dict()["features.0.bias"])
    assert all(torch.equal(net.state_dict()[name], before[name]) for name in HEAD)


def test_a_head_of_which_a_part_is_missing_stays_the_nets_own(tmp_path: Path) -> None:
    state = Net().state_dict()
    del state["fc.bias"]
    net = Net()
    before = net.fc.weight.clone()
    load(net, saved(state, tmp_path / "w"), head=HEAD)
    assert torch.equal(net.fc.weight, before)


def changed(**tensors: Tensor | None) -> OrderedDict[str, Tensor]:
    """Net's state, with some tensors replaced, added, or removed where they are None."""
    state = OrderedDict(Net().state_dict())
    for name, tensor in tensors.items():
        path = name.replace("__", ".")
        state.pop(path, None)
        if tensor is not None:
            state[path] = tensor
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (changed(features__0__bias=None), "features.0.bias is missing."),
        (changed(extra__weight=torch.ones(2)), "extra.weight is unknown."),
        (changed(features__0__bias=torch.ones(5)), "features.0.bias is 5 and must be 4."),
        (
            changed(features__0__weight=torch.ones(4, 1, 3, 3)),
            "features.0.weight is 4x1x3x3 and must be 4x3x3x3.",
        ),
        (
            OrderedDict({f"layers.{index}": torch.ones(1) for index in range(9)}, start=torch.ones(1)),
            "features.0.weight is missing, features.0.bias is missing, features.1.weight is missing and 13 more.",
        ),
    ],
    ids=["missing", "unknown", "shape", "channels", "all"],
)
def test_weights_that_do_not_fit_are_named(state: State, message: str, tmp_path: Path) -> None:
    file = saved(state, tmp_path / "w")
    expected = f"the weights {file} don't fit net: {message} Are they of another architecture?"
    assert problem_of(file, head=HEAD) == expected


def test_only_what_is_needed_must_be_there(tmp_path: Path) -> None:
    file = saved(changed(features__1__weight=None), tmp_path / "w")
    load(Net(), file, head=HEAD, needed=["features.0.weight"])
    assert "features.1.weight is missing" in problem_of(file, head=HEAD, needed=["features.1.weight"])


def test_a_pickle_from_outside_is_refused_and_nothing_of_it_runs(tmp_path: Path) -> None:
    mark = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (mark,))

    for name, content in {"torch": {"state_dict": Hostile()}, "plain": Hostile()}.items():
        file = tmp_path / f"{name}.pth"
        if name == "torch":
            torch.save(content, file)
        else:
            file.write_bytes(pickle.dumps(content, protocol=2))
        assert "hold other Python objects too, which could run code" in problem_of(file)
    assert not mark.exists()


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html>Not found</html>", b"\x80\x02}q\x00."])
def test_a_file_that_is_something_else(suffix: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / f"page{suffix}"
    file.write_bytes(content)
    assert f"the weights {file} " in problem_of(file, kind=TrainyardError)


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    for way in ("safetensors", "state_dict", "checkpoint of a trial"):
        file = WAYS[way](Net().state_dict(), tmp_path / "w")
        file.write_bytes(file.read_bytes()[:-100])
        assert f"the weights {file} " in problem_of(file, kind=StorageError), way


def test_a_file_without_tensors_by_name(tmp_path: Path) -> None:
    for content in ([torch.ones(2)], {"epoch": 3}, {}):
        file = saved(content, tmp_path / "w")
        assert "hold no tensors by name, neither as a whole nor under state_dict or model" in problem_of(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for suffix in (".pth", ".safetensors"):
        file = tmp_path / f"none{suffix}"
        told = problem_of(file, kind=StorageError)
        assert told == f"the weights {file}: there is no such file on this machine. Put it there."
    folder = tmp_path / "folder.pth"
    folder.mkdir()
    assert problem_of(folder, kind=StorageError) == f"the weights {folder} can't be read: Is a directory."


class DenseLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.denselayer1 = nn.ModuleDict({"norm1": nn.BatchNorm2d(2), "conv1": nn.Conv2d(2, 2, 1, bias=False)})


def test_the_names_that_dense_nets_once_had_are_understood(tmp_path: Path) -> None:
    source = DenseLayer()
    state = {
        name.replace("norm1", "norm.1").replace("conv1", "conv.1"): tensor
        for name, tensor in source.state_dict().items()
        if "num_batches" not in name  # which weights of that time didn't have
    }
    net = load(DenseLayer(), saved(OrderedDict(state), tmp_path / "w"))
    assert torch.equal(net.state_dict()["denselayer1.conv1.weight"], source.state_dict()["denselayer1.conv1.weight"])


def test_the_net_that_wants_to_know_its_version_takes_a_file_without(tmp_path: Path) -> None:
    from torchvision.models import get_model

    source = get_model("mnasnet0_5", weights=None, num_classes=3)
    net = load(get_model("mnasnet0_5", weights=None, num_classes=3), safetensors(source.state_dict(), tmp_path / "w"))
    assert torch.equal(net.classifier[1].weight, source.classifier[1].weight)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch's folder of downloads, without internet."""

    def unreachable(url: str, *rest: Any, **settings: Any) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def squeezenet(classes: int = 1000) -> Any:
    from torchvision.models import get_model

    return get_model("squeezenet1_1", weights=None, num_classes=classes)


def test_published_weights_come_from_the_cache_without_internet(hub: Path) -> None:
    source, net = squeezenet(), squeezenet(5)
    torch.save(source.state_dict(), hub / SQUEEZENET)
    for name in ("IMAGENET1K_V1", "DEFAULT"):
        load_weights(net, name, architecture="squeezenet1_1", head=("classifier.1.weight", "classifier.1.bias"))
        assert torch.equal(net.features[0].weight, source.features[0].weight)


def test_without_internet_it_says_where_to_put_which_file(hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StorageError) as refusal:
        load_weights(squeezenet(), "IMAGENET1K_V1", architecture="squeezenet1_1")
    assert str(refusal.value) == (
        "the weights IMAGENET1K_V1 of squeezenet1_1 can't be downloaded: <urlopen error Name or service not known>. "
        f"Put the file https://download.pytorch.org/models/{SQUEEZENET} there by other means, as {hub / SQUEEZENET}, "
        "or name another file as weights."
    )
    assert capsys.readouterr().out == ""


def test_a_damaged_download_is_named(hub: Path) -> None:
    (hub / SQUEEZENET).write_bytes(b"half of it")
    with pytest.raises(StorageError) as refusal:
        load_weights(squeezenet(), "IMAGENET1K_V1", architecture="squeezenet1_1")
    assert f"can't be read from {hub / SQUEEZENET}: " in str(refusal.value)
    assert str(refusal.value).endswith("Delete the file to have it downloaded anew.")


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = Net().state_dict()
    state["features.0.weight"][0, 0, 0, 0] = float("nan")
    assert "are not finite in features.0.weight." in problem_of(saved(state, tmp_path / "weights"))


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").touch()
    assert problem_of(tmp_path / "weights.pt", kind=StorageError).endswith("weights.pt are an empty file.")
