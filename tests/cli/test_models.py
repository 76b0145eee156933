"""`trainyard models`: the list, the table of layers, the pictures from inside."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trainyard.cli.printing import terminal_width
from trainyard.spec.model import MODELS

from .conftest import Answer

Cli = Callable[..., Answer]

NETS = """
import torch

def net(image, outputs, width=4):
    return torch.nn.Sequential(
        torch.nn.Conv2d(image[0], width, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(width, outputs),
    )

def dense(image, outputs):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(image[0] * image[1] * image[2], outputs))

def broken(image, outputs):
    raise KeyError("no such layer")


def prints(image, outputs):
    print("hello from the model")
    return net(image, outputs)

def exits(image, outputs):
    raise SystemExit(3)

notafunction = 5
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with modules of the user's own."""
    (tmp_path / "listed_nets.py").write_text(NETS)
    path = list(sys.path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.path[:] = path
    sys.modules.pop("listed_nets", None)


@pytest.fixture
def photo(here: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(here / "photo.png")
    return Path("photo.png")


class TestList:
    def test_names_every_architecture_with_its_settings(self, cli: Cli) -> None:
        answer = cli("models")

        assert answer.code == 0
        assert all(name in answer.out for name in (*MODELS, "module:function", "vgg16", "resnet50"))
        assert "cnn  (classification)\n" in answer.out
        assert "settings: channels=[32, 64], kernel=3, padding=valid, dropout=0.5" in answer.out
        assert max(map(len, answer.out.splitlines())) <= 120

    def test_as_json(self, cli: Cli) -> None:
        facts = json.loads(cli("models", "--format", "json").out)

        assert set(facts["models"]) == set(MODELS)
        assert facts["models"]["cnn"]["tasks"] == ["classification"]
        assert facts["models"]["cnn"]["settings"]["kernel"]["default"] == 3
        assert facts["models"]["torchvision"]["settings"]["architecture"]["required"]
        assert "vgg16" in facts["torchvision"]


class TestLayers:
    def test_a_table(self, cli: Cli) -> None:
        answer = cli("models", "cnn", "channels=[8]", "--input", "1x8x8", "--outputs", "3")

        assert answer == Answer(
            0,
            "cnn channels=[8] kernel=3 padding=valid dropout=0.5\n"
            "on images of 1x8x8, 3 outputs\n"
            "\n"
            "#  layer  kind       output  kernel        field  jump  parameters  multiply-adds     memory\n"
            "1  0      Conv2d      8x6x6  3x3               3     1          80         2.59 k    1.1 KiB\n"
            "2  1      ReLU        8x6x6                    3     1                               1.1 KiB\n"
            "3  2      MaxPool2d   8x3x3  2x2 stride 2      4     2                             288 bytes\n"
            "4  3      Flatten        72                    4     2\n"
            "5  4      Dropout        72                    4     2\n"
            "6  5      Linear          3                whole               219            216   12 bytes\n"
            "\n"
            "parameters     299\n"
            "multiply-adds  2,808 for an image\n"
            "memory         2.5 KiB of activations for an image\n",
            "",
        )

    def test_as_json(self, cli: Cli) -> None:
        facts = json.loads(cli("models", "three_branches", "--input", "3x16x12", "--format", "json").out)

        cat = next(layer for layer in facts["layers"] if layer["kind"] == "cat")
        assert facts["input"] == [3, 16, 12]
        assert [source["size"] for source in cat["inputs"]] == [[32, 12, 8]] * 3
        side = {"size": 5, "whole": False, "jump": 1}
        assert cat["field"] == {"rows": side, "columns": side}
        first = facts["layers"][0]
        assert (first["kernel"], first["output"]) == ([1, 1], [32, 16, 12])
        assert first["costs"]["parameters"] == first["costs"]["trainable"] == 128
        assert facts["totals"]["parameters"] == 52_960 + 256 * 10 + 10
        assert facts["parts"][0]["path"] == "first"

    def test_an_architecture_of_torchvision_on_the_images_it_was_made_for(self, cli: Cli) -> None:
        answer = cli("models", "vgg16", "--depth", "1")

        assert answer.code == 0, answer.err
        assert "on images of 3x224x224, 1000 outputs" in answer.out
        assert "parameters     138,357,544\n" in answer.out
        assert "multiply-adds  15,470,264,320 for an image\n" in answer.out
        (features,) = [line for line in answer.out.splitlines() if " features " in line]
        assert features.split()[1:6] == ["features", "Sequential", "512x7x7", "212", "32"]

    def test_a_net_that_segments(self, cli: Cli) -> None:
        answer = cli("models", "fast_scnn", "--outputs", "11", "--depth", "1")

        assert answer.code == 0, answer.err
        assert "on images of 3x360x480, 11 outputs\n" in answer.out
        assert "parameters     1,135,835\n" in answer.out

    def test_a_segmentation_model_of_torchvision(self, cli: Cli) -> None:
        answer = cli("models", "lraspp_mobilenet_v3_large", "--depth", "1")

        assert answer.code == 0, answer.err
        assert "on images of 3x520x520, 21 outputs\n" in answer.out
        assert "parameters     3,221,538\n" in answer.out
        assert {"backbone", "classifier"} <= set(answer.out.split())

    def test_a_promptable_model_with_its_image_encoder(self, cli: Cli) -> None:
        answer = cli("models", "sam", "architecture=tiny", "--depth", "1")

        assert answer.code == 0, answer.err
        assert "on images of 3x128x128, 1 output\n" in answer.out
        assert {"vision_encoder", "mask_decoder"} <= set(answer.out.split())

    def test_a_promptable_model_has_one_output(self, cli: Cli) -> None:
        answer = cli("models", "tiny", "--outputs", "3")

        assert answer.code == 2
        assert "answers with one logit for each pixel of an object, not with 3" in answer.err

    def test_many_layers_are_summed_up_by_part(self, cli: Cli) -> None:
        answer = cli("models", "residual_net", "depth=8")

        parts = answer.out.partition("Parts:\n")[2].splitlines()
        assert parts[0].split()[:3] == ["layer", "kind", "output"]

    def test_weights_are_not_needed_for_it(self, cli: Cli) -> None:
        answer = cli("models", "squeezenet1_1", "weights=missing/file.pth", "--depth", "1", "--input", "3x64x64")

        assert answer.code == 0, answer.err
        assert "weights=missing/file.pth" in answer.out

    def test_the_users_own_function(self, cli: Cli) -> None:
        answer = cli("models", "listed_nets:net", "width=6")

        assert answer.code == 0, answer.err
        assert "3 outputs" not in answer.out
        assert "6x30x30" in answer.out
        assert "10 outputs (nobody says how many: --outputs N)" in answer.out

    def test_what_the_users_function_prints_is_not_among_the_json(self, cli: Cli) -> None:
        answer = cli("models", "listed_nets:prints", "--format", "json")

        assert answer.code == 0, answer.err
        assert json.loads(answer.out)
        assert "hello" in answer.err

    @pytest.mark.parametrize(
        ("name", "problem"),
        [
            ("exits", "it ended the process by sys.exit(3).\n"),
            ("notafunction", "listed_nets.py has no function notafunction.\n"),
            ("nett", "has no function nett. Did you mean listed_nets:net?\n"),
        ],
    )
    def test_the_users_function_is_of_no_use(self, cli: Cli, name: str, problem: str) -> None:
        answer = cli("models", f"listed_nets:{name}")

        assert answer.code == 2
        assert answer.err.endswith(problem)

    def test_the_model_of_a_job_on_its_data(self, place: Path, cli: Cli) -> None:
        answer = cli("models", "jobs/digits_cnn.yaml", "model.channels=[4]")

        assert answer.code == 0, answer.err
        assert "on images of 1x8x8, 10 outputs\n" in answer.out
        assert "4x8x8" in answer.out

    def test_the_model_of_a_job_that_is_fitted_at_once(self, place: Path, cli: Cli) -> None:
        answer = cli("models", "jobs/vehicles_svm.yaml", "data={path: data/digits, channels: 3, image_size: [64, 64]}")

        assert answer.code == 0, answer.err
        assert "on images of 3x64x64, 10 outputs" in answer.out

    def test_a_job_whose_data_is_not_there(self, place: Path, cli: Cli) -> None:
        (place / "data" / "digits").unlink()

        answer = cli("models", "jobs/digits_cnn.yaml")
        assert (answer.code, answer.err) == (
            2, "there is no data set data/digits to tell the size of the images. Add --input CxHxW.\n",
        )  # fmt: skip
        assert cli("models", "jobs/digits_cnn.yaml", "--input", "1x8x8").code == 0

    @pytest.mark.parametrize("columns", [80, 100, 160])
    def test_a_terminal_gets_as_many_columns_as_it_has_room_for(
        self, columns: int, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("trainyard.cli.layers.terminal_width", lambda: columns)

        answer = cli("models", "residual_net", "depth=8")

        table = answer.out.split("\n\n")[1].splitlines()
        assert max(map(len, table)) <= columns
        assert table[0].split()[:3] == ["#", "layer", "kind"]
        assert ("(no room for" in table[-1]) == (columns < 160)

    def test_nobody_reads_a_terminal_here(self) -> None:
        assert terminal_width() is None


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["resnet5"], "unknown model resnet5. Did you mean resnet"),
            (["cmn"], "unknown model cmn. Did you mean cnn? All of them: trainyard models\n"),
            (["perceptron"], "unknown model perceptron. There are cnn, "),
            (["dropout=0.1"], "which model has dropout=0.1? Write: trainyard models NAME [setting=value...]\n"),
            (["cnn", "--input", "32x32"], "--input must be channels x height x width in pixels, such as 3x32x32"),
            (["cnn", "--input", "3x0x8"], "--input must be channels x height x width in pixels, such as 3x32x32"),
            (["cnn", "dropout=2"], "command line: model.dropout must be < 1, got 2."),
            (["cnn", "dropuot=0.1"], "Did you mean model.dropout?"),
            (["residual_net", "depth=21"], "command line: model.depth must be 6n + 2, such as 20 or 26, got 21."),
            (["cnn", "--input", "3x4x4"], "images of 4x4 are too small for 2 convolutions"),
            (["vgg16", "--input", "1x224x224"], "vgg16 takes images of 3 channels, got 1."),
            (["listed_nets:ned"], "has no function ned. Did you mean listed_nets:net?"),
            (["listed_nets:broken"], "KeyError: 'no such layer' (listed_nets.py:14)"),
            (["listed_nets:net", "--input", "3x2x2"], "model listed_nets:net on images of 3x2x2: RuntimeError: "),
            (["missing.yaml"], "missing.yaml: no such file."),
            (["cnn", "--activations"], "--activations needs photographs."),
            (["cnn", "photo.png"], "nothing is asked about photo.png. Add --activations"),
            (["cnn", "--out", "x"], "--out is for --filters and --activations. Add one of them."),
            (["cnn", "--filters", "--depth", "1"], "Leave one out."),
            (["cnn", "--activations", "none.png"], "can't read none.png: No such file or directory."),
            (["cnn", "--activations", "listed_nets.py"], "can't use listed_nets.py: the image is no image file"),
            (["cnn", "--activations", "photo.png", "--classes", "a,b", "--outputs", "3"], "--classes names 2 classes"),
            (["listed_nets:dense", "--filters"], "model listed_nets:dense has no convolution whose filters could be"),
            (["listed_nets:dense", "--activations", "photo.png"], "has no feature maps to draw"),
            (["cnn", "--filters", "--out", "listed_nets.py/x"], "can't write listed_nets.py/x: Not a directory."),
            (["cnn", "--activations", "photo.png", "--input", "2x32x32"], "photographs have 1 or 3 channels"),
            (["squeezenet1_1", "weights=gone.pth", "--filters"], "the weights gone.pth: there is no such file"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said_with_the_way_out(
        self, arguments: list[str], message: str, cli: Cli, photo: Path
    ) -> None:
        answer = cli("models", *arguments)

        assert (answer.code, answer.out) == (2, "")
        assert message in answer.err
        assert list(Path().glob("*-inside")) == []


class TestInside:
    def test_filters_of_the_first_and_the_last_convolution(self, cli: Cli) -> None:
        answer = cli("models", "cnn", "channels=[4, 6, 8]", "--filters", "--out", "drawn")

        assert answer.out.splitlines()[:2] == ["drawn: drawn/filters-0.png", "drawn: drawn/filters-6.png"]
        assert (
            "The weights are random (seed 0): neither filters nor maps nor probabilities mean anything." in answer.out
        )
        with Image.open("drawn/filters-6.png") as sheet:
            assert sheet.width > 8 * 36

    def test_feature_maps_of_photographs_and_what_they_are_taken_for(self, cli: Cli, photo: Path) -> None:
        answer = cli("models", "cnn", "--activations", str(photo), "--classes", "a,b,c", "--format", "json")

        facts = json.loads(answer.out)
        assert facts["files"] == ["cnn-inside/activations-photo.png"]
        assert facts["weights"] is None
        (top,) = facts["photographs"]
        assert top["class"] in ("a", "b", "c")
        assert 1 / 3 <= top["probability"] <= 1
        assert Path(facts["files"][0]).exists()

    def test_the_same_photograph_is_taken_for_the_same(self, cli: Cli, photo: Path) -> None:
        first, second = (cli("models", "cnn", "--activations", str(photo)).out for _ in range(2))

        assert first == second

    def test_a_model_that_gives_no_classes(self, cli: Cli, photo: Path) -> None:
        answer = cli("models", "unet", "--activations", str(photo), "--input", "3x32x32")

        assert answer.code == 0, answer.err
        assert "The model answers with no classes for an image, so there is no most likely one." in answer.out

    @pytest.mark.real_data
    @pytest.mark.skipif(not os.environ.get("TRAINYARD_REAL_DATA"), reason="TRAINYARD_REAL_DATA names no folder")
    def test_photographs_of_all_sizes(self, cli: Cli) -> None:
        folder = Path(os.environ["TRAINYARD_REAL_DATA"]) / "photos"
        photos = sorted(str(file) for file in folder.iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png"))

        answer = cli("models", "cnn", "--activations", *photos, "--resize", "crop", "--format", "json")

        assert answer.code == 0, answer.err
        facts = json.loads(answer.out)
        assert len(facts["photographs"]) == len(set(facts["files"])) == 15

    def test_weights_of_a_file_are_used_and_named(self, cli: Cli, photo: Path) -> None:
        from torchvision.models import squeezenet1_1

        net = squeezenet1_1(num_classes=1000)
        torch.nn.init.zeros_(net.classifier[1].weight)
        torch.nn.init.zeros_(net.classifier[1].bias)
        net.classifier[1].bias.data[812] = 5
        torch.save(net.state_dict(), "own.pth")

        answer = cli("models", "squeezenet1_1", "weights=own.pth", "--activations", str(photo), "--input", "3x64x64")

        assert answer.code == 0, answer.err
        assert answer.out.splitlines()[-3].split() == ["photo.png", "space", "shuttle", "12.93%"]
        assert answer.out.endswith("Weights: own.pth.\n")
