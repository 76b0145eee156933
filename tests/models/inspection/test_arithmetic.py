"""The layer table: sizes, receptive fields and costs, against closed forms and against what gradients show."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from trainyard.models.cnn import Cnn
from trainyard.models.inspection.arithmetic import Layer, LayerTable, folded, groups, layer_table, measured
from trainyard.models.locally_connected import LocallyConnected
from trainyard.models.residual_net import ResidualNet
from trainyard.models.three_branches import ThreeBranches
from trainyard.models.two_convolutions import TwoConvolutions
from trainyard.models.unet import Unet


def table_of(model: nn.Module, *image: int) -> LayerTable:
    channels, height, width = image
    return layer_table(model, (channels, height, width))


def fields(table: LayerTable) -> list[tuple[int | None, int | None] | None]:
    return [None if layer.field is None else (layer.field[0].size, layer.field[1].size) for layer in table.layers]


def jumps(layer: Layer) -> tuple[Fraction | None, Fraction | None]:
    assert layer.field is not None
    return layer.field[0].jump, layer.field[1].jump


class Step(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, features: Tensor) -> Tensor:
        return self.function(features)


def steps(*layers: nn.Module | Callable[[Tensor], Tensor]) -> nn.Sequential:
    return nn.Sequential(*(layer if isinstance(layer, nn.Module) else Step(layer) for layer in layers))


def conv(inputs: int, outputs: int, kernel: Any, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, **options)


class TestCosts:
    def test_the_cnn_of_the_report(self) -> None:
        table = table_of(Cnn(image=(3, 32, 32), outputs=10), 3, 32, 32)

        assert [layer.output for layer in table.layers if layer.kind in ("Conv2d", "MaxPool2d", "Linear")] == [
            (32, 30, 30), (32, 15, 15), (64, 13, 13), (64, 6, 6), (10,),
        ]  # fmt: skip
        assert [layer.costs.parameters for layer in table.layers if layer.costs.parameters] == [896, 18_496, 23_050]
        assert table.totals.parameters == table.totals.trainable == 42_442
        assert table.totals.multiply_adds == 27 * 32 * 30**2 + 288 * 64 * 13**2 + 2304 * 10
        # float32: two outputs each of convolution and ReLU, one of each pooling, and the answer.
        numbers = 2 * 32 * 30**2 + 32 * 15**2 + 2 * 64 * 13**2 + 64 * 6**2 + 10
        assert table.totals.activation_bytes == 4 * numbers

    @pytest.mark.parametrize("side", [9, 16])
    def test_three_branches(self, side: int) -> None:
        table = table_of(ThreeBranches(image=(3, side, side), outputs=10, head="none"), 3, side, side)

        assert table.totals.parameters == 52_960
        assert table.layers[-1].output == (256, side - 4, side - 4)
        cat = next(layer for layer in table.layers if layer.kind == "cat")
        assert cat.output == (96, side - 4, side - 4)
        inputs = [table.layers[number - 1] for number in cat.inputs]
        assert [layer.field[0].size for layer in inputs if layer.field] == [1, 3, 5]
        positions = 3 * side**2 * 96 + (2 * (side - 2) ** 2 + (side - 4) ** 2) * 9 * 32**2 + (side - 4) ** 2 * 96 * 256
        assert table.totals.multiply_adds == positions

    def test_two_convolutions_shared_or_not_see_the_same(self) -> None:
        shared = table_of(TwoConvolutions(image=(3, 12, 10), outputs=10, head="none"), 3, 12, 10)
        local = table_of(LocallyConnected(image=(3, 12, 10), outputs=10, head="none"), 3, 12, 10)

        assert shared.totals.parameters == 5_088
        assert local.totals.parameters == 448 * 10 * 8 + 4_640 * 8 * 6
        assert shared.totals.multiply_adds == local.totals.multiply_adds == 27 * 16 * 10 * 8 + 144 * 32 * 8 * 6
        assert fields(shared) == fields(local) == [(3, 3), (3, 3), (5, 5), (5, 5), (5, 5)]

    def test_groups_bias_and_transposed(self) -> None:
        model = steps(
            conv(4, 8, 3, groups=2), conv(8, 8, 5, groups=8, padding=2), nn.ConvTranspose2d(8, 6, 3, stride=2, groups=2)
        )
        table = table_of(model, 4, 10, 10)

        costs = [layer.costs for layer in table.layers]
        assert [cost.multiply_adds for cost in costs] == [64 * 8 * 2 * 9, 64 * 8 * 25, 64 * 8 * 3 * 9]
        assert [cost.parameters for cost in costs] == [8 * 2 * 9 + 8, 8 * 25 + 8, 8 * 3 * 9 + 6]

    def test_torchs_own_counter_agrees(self) -> None:
        model = ResidualNet(image=(3, 24, 24), outputs=10, depth=20).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.zeros(1, 3, 24, 24))

        assert table_of(model, 3, 24, 24).totals.multiply_adds == counter.get_total_flops() // 2

    def test_frozen_parameters_and_running_statistics_are_counted_apart(self) -> None:
        model = steps(conv(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True), conv(4, 2, 1))
        model[:2].requires_grad_(False)
        model.register_buffer("constant", torch.zeros(7), persistent=False)
        table = table_of(model, 3, 8, 8)

        assert (table.totals.frozen, table.totals.trainable, table.totals.buffers) == (108 + 8, 10, 8)
        assert [layer.costs.frozen for layer in table.layers] == [108, 8, 0, 0]

    def test_what_works_in_place_or_only_looks_writes_nothing(self) -> None:
        model = steps(conv(3, 4, 1), nn.ReLU(inplace=True), nn.Dropout(), nn.Flatten(), nn.Linear(256, 2))
        table = table_of(model, 3, 8, 8)

        assert [layer.costs.activation_bytes for layer in table.layers] == [4 * 256, 0, 0, 0, 8]

    def test_a_layer_called_twice_runs_twice_and_has_its_parameters_once(self) -> None:
        layer = conv(3, 3, 3, padding=1)
        table = table_of(steps(layer, nn.ReLU(), layer), 3, 8, 8)

        assert [layer.costs.parameters for layer in table.layers] == [84, 0, 0]
        assert [layer.again for layer in table.layers] == [False, False, True]
        assert table.totals.parameters == 84
        assert table.totals.multiply_adds == 2 * 64 * 81
        assert fields(table)[-1] == (5, 5)

    def test_parameters_used_by_functions_and_those_that_nothing_uses(self) -> None:
        class Own(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = nn.Parameter(torch.rand(5, 3, 3, 3))
                self.gain = nn.Parameter(torch.rand(5, 1, 1))
                self.spare = nn.Linear(3, 3)

            def forward(self, images: Tensor) -> Tensor:
                return functional.conv2d(images, self.weight.sigmoid(), padding=1) * self.gain.exp()

        table = table_of(Own(), 3, 8, 8)

        assert [(layer.kind, layer.path, layer.is_function) for layer in table.layers] == [
            ("conv", "", True), ("mul", "", True),
        ]  # fmt: skip
        assert [layer.costs.parameters for layer in table.layers] == [135, 5]
        assert table.totals.parameters == 135 + 5 + 12
        assert table.unused == ("spare.weight", "spare.bias")

    def test_the_model_is_left_as_it_was(self) -> None:
        model = steps(conv(3, 4, 3), nn.BatchNorm2d(4)).train()
        model[1].eval()
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        table_of(model, 3, 8, 8)

        assert [module.training for module in model.modules()] == [True, True, False]
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def unfolded(features: Tensor) -> Tensor:
    """Sums of 3x3 pixels, one apart, at every other pixel."""
    count, channels, height, width = features.shape
    seen = functional.unfold(features, 3, dilation=2, stride=2).view(count, channels * 9, -1)
    return seen.sum(1, keepdim=True).view(count, 1, (height - 3) // 2, (width - 3) // 2)


def strided(features: Tensor) -> Tensor:
    """Sums of 3x4 pixels, through a view of overlapping windows."""
    count, channels, height, width = features.shape
    own = features.contiguous()
    batch, channel, row, column = own.stride()
    shape = (count, channels, height - 2, width - 3, 3, 4)
    return own.as_strided(shape, (batch, channel, row, column, row, column)).sum((4, 5))


def off_centre(features: Tensor) -> Tensor:
    small, large = functional.avg_pool2d(features, 3, 1), functional.avg_pool2d(features, 7, 1)
    return torch.cat([small[:, :, 1:-3, 2:-2], large], dim=1)


def attended(features: Tensor) -> Tensor:
    """Channels weighed by their mean over the image (Hu et al. 2018)."""
    return features * features.mean((2, 3), keepdim=True).sigmoid()


def windows_of_tokens(features: Tensor) -> Tensor:
    """Attention within windows of 4x4 positions (Liu et al. 2021)."""
    count, channels, height, width = features.shape
    split = features.view(count, channels, height // 4, 4, width // 4, 4).permute(0, 2, 4, 3, 5, 1)
    tokens = split.reshape(-1, 16, channels)
    answer = functional.scaled_dot_product_attention(tokens, tokens, tokens)
    back = answer.view(count, height // 4, width // 4, 4, 4, channels).permute(0, 5, 1, 3, 2, 4)
    return back.reshape(features.shape)


def resized(**options: Any) -> Callable[[Tensor], Tensor]:
    return lambda features: functional.interpolate(features, **options)


NETS: dict[str, tuple[nn.Module, tuple[int, int, int]]] = {
    "dilation, strides, oblong kernels": (
        steps(
            conv(3, 4, 3, dilation=2, padding=2), conv(4, 4, 3, dilation=3), nn.AvgPool2d(3, 2, 1), conv(4, 4, (1, 5))
        ),
        (3, 48, 50),
    ),
    "grouped and depthwise": (
        steps(conv(4, 8, 3, groups=4), conv(8, 8, 5, groups=8, padding=2), conv(8, 4, 1)), (4, 24, 24),
    ),
    "transposed": (
        steps(
            conv(3, 4, 3, stride=2), nn.ConvTranspose2d(4, 4, 3, 2), conv(4, 4, 3), nn.ConvTranspose2d(4, 4, 4, 2, 1),
            conv(4, 4, 2),
        ),
        (3, 47, 47),
    ),
    "transposed, with gaps": (
        steps(conv(3, 4, 3, stride=4), nn.ConvTranspose2d(4, 4, 2, 3, dilation=2), conv(4, 4, 3)), (3, 47, 47),
    ),
    "doubled": (
        steps(
            conv(3, 4, 3, stride=2, padding=1), resized(scale_factor=2, mode="bilinear"), conv(4, 4, 2),
            resized(scale_factor=2, mode="nearest"), conv(4, 4, 3),
        ),
        (3, 40, 40),
    ),
    "resized to odd sizes": (
        steps(
            conv(3, 4, 3, stride=3), resized(size=(29, 33), mode="bilinear"), conv(4, 4, 3),
            resized(size=(14, 50), mode="bicubic"), conv(4, 4, 3),
        ),
        (3, 48, 48),
    ),
    "resized by corners": (
        steps(
            conv(3, 4, 3, stride=3), resized(size=(29, 33), mode="bilinear", align_corners=True), conv(4, 4, 3),
            resized(scale_factor=1.5, mode="nearest"), conv(4, 4, 3),
        ),
        (3, 48, 48),
    ),
    "adaptive pooling": (steps(conv(3, 4, 3), nn.AdaptiveAvgPool2d((7, 5)), conv(4, 4, 3)), (3, 44, 44)),
    "shuffled pixels": (
        steps(conv(3, 8, 3, stride=2), nn.PixelShuffle(2), conv(2, 4, 3), nn.PixelUnshuffle(2), conv(16, 4, 3)),
        (3, 41, 41),
    ),
    "unfolded": (steps(conv(3, 4, 3), unfolded, conv(1, 4, 3)), (3, 40, 40)),
    "overlapping views": (steps(conv(3, 4, 3), strided, conv(4, 4, 3)), (3, 40, 40)),
    "locally connected": (LocallyConnected(image=(3, 14, 14), outputs=2, head="none"), (3, 14, 14)),
    "branches off centre": (steps(conv(3, 4, 1), off_centre, conv(8, 4, 3)), (3, 30, 30)),
    "three branches": (ThreeBranches(image=(3, 14, 14), outputs=2), (3, 14, 14)),
    "channels weighed by the image": (steps(conv(3, 4, 3, stride=2), attended, conv(4, 4, 3)), (3, 33, 33)),
    "attention in windows": (steps(conv(3, 4, 3, padding=1), windows_of_tokens, conv(4, 4, 3)), (3, 16, 24)),
    "mirrored": (steps(conv(3, 4, 3), lambda features: features + features.flip(-1)), (3, 16, 16)),
    "padded by reflection": (steps(nn.ReflectionPad2d(2), conv(3, 4, 5), nn.ZeroPad2d((1, 0, 2, 0))), (3, 24, 24)),
    "residual": (ResidualNet(image=(3, 64, 64), outputs=2, depth=8), (3, 72, 72)),
    "unet": (Unet(image=(3, 64, 64), outputs=2, channels=[2, 2, 2], norm="none"), (3, 64, 64)),
    "unet, odd sizes": (Unet(image=(3, 70, 77), outputs=2, channels=[2, 2, 2], norm="none"), (3, 70, 77)),
    "dense": (Cnn(image=(3, 32, 32), outputs=10), (3, 32, 32)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_fields_are_what_gradients_reach(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = NETS[name]
    # The gradient of a maximum reaches one pixel only; a mean has the same window.
    monkeypatch.setattr(functional, "max_pool2d", averaged)
    model = with_positive_weights(model)
    table = layer_table(model, image)
    layers = [layer for layer in table.layers if not layer.is_function]

    for layer, reached in zip(layers, reached_fields(model, image), strict=True):
        assert layer.field is not None
        said = tuple(side.size for side in layer.field)
        # Gradients end at the border of the image.
        assert tuple(min(size or 0, side) for size, side in zip(said, image[1:], strict=True)) == reached, layer.path


def averaged(features: Tensor, kernel: int, stride: int | None = None, *options: Any, **others: Any) -> Tensor:
    return functional.avg_pool2d(features, kernel, stride)


def with_positive_weights(model: nn.Module) -> nn.Module:
    """So that no two paths cancel each other, and no ReLU is closed."""
    for parameter in model.parameters():
        parameter.data = torch.full_like(parameter, 1 / parameter[0].numel() if parameter.dim() > 1 else 0.5)
    return model.eval()


def reached_fields(model: nn.Module, image: tuple[int, int, int]) -> Iterator[tuple[int, int]]:
    """For each call of a layer, how many rows and columns of the image any position of its output gets gradients to,
    at most."""
    images = (torch.rand(1, *image) + 0.5).requires_grad_()
    outputs: list[Tensor] = []
    for module in model.modules():
        if next(module.children(), None) is None:
            module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    model(images)
    for output in outputs:
        places = output.sum(1)[0] if output.dim() == 4 else output[0]
        spans = [_span(place, images) for place in _some(places)]
        yield max(rows for rows, _ in spans), max(columns for _, columns in spans)


def _some(places: Tensor) -> list[Tensor]:
    """Those on the diagonal, of many the middle half, which is far from the borders; one of a row of features."""
    if places.dim() < 2:
        return [places[len(places) // 2]]
    height, width = places.shape
    count = max(height, width)
    border = count // 4 if count > 16 else 0
    shown = range(border, count - border)
    return [places[place * height // count, place * width // count] for place in shown]


def _span(place: Tensor, images: Tensor) -> tuple[int, int]:
    (gradient,) = torch.autograd.grad(place, images, retain_graph=True)
    seen = gradient[0].abs().sum(0) > 0
    rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
    if not len(rows):
        return 0, 0
    return int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1


class TestFields:
    def test_vgg16_sees_196_pixels_at_its_last_convolution_and_212_after_the_last_pooling(self) -> None:
        from torchvision.models import vgg16

        _, table = measured(vgg16, (3, 224, 224))
        by_path = {layer.path: layer for layer in table.layers}

        assert table.totals.parameters == 138_357_544
        assert table.totals.multiply_adds == 15_470_264_320
        last, pooled = by_path["features.28"], by_path["features.30"]
        assert last.field
        assert pooled.field
        assert (last.output, last.field[0].size, jumps(last)) == ((512, 14, 14), 196, (16, 16))
        assert (pooled.output, pooled.field[0].size, jumps(pooled)) == ((512, 7, 7), 212, (32, 32))
        dense = by_path["classifier.0"]
        assert dense.field
        assert all(side.whole and side.jump is None for side in dense.field)

    def test_resnet50_sees_427_pixels(self) -> None:
        """Araujo, Norris, Sim (Computing Receptive Fields of Convolutional Neural Networks, Distill 2019) have 483, for
        a variant that strides at the end of a stage and not at the beginning of the next."""
        from torchvision.models import resnet50

        _, table = measured(resnet50, (3, 224, 224))
        last = next(layer for layer in reversed(table.layers) if layer.path == "layer4.2")

        assert last.kind == "add"
        assert last.field
        assert (last.field[0].size, jumps(last)) == (427, (32, 32))
        assert table.totals.parameters == 25_557_032
        assert table.totals.buffers == 53_120

    def test_tokens_of_a_transformer_see_the_whole_image_after_the_first_attention(self) -> None:
        from torchvision.models import VisionTransformer

        size = {"image_size": 32, "patch_size": 8, "hidden_dim": 16, "mlp_dim": 16}
        _, table = measured(lambda: VisionTransformer(num_layers=2, num_heads=2, **size), (3, 32, 32))

        first = next(place for place, layer in enumerate(table.layers) if layer.kind == "MultiheadAttention")
        assert fields(table)[0] == (8, 8)
        assert all(layer.field and layer.field[0].whole for layer in table.layers[first:])
        assert not table.unused

    @pytest.mark.parametrize("kind", ["Hardswish", "Hardsigmoid", "SiLU", "GELU", "Mish", "LogSigmoid", "PReLU", "ELU"])
    def test_activations_see_what_they_are_given(self, kind: str) -> None:
        assert fields(table_of(steps(conv(3, 4, 3), getattr(nn, kind)()), 3, 8, 8)) == [(3, 3), (3, 3)]

    def test_statistics_over_the_image_are_left_out_and_named(self) -> None:
        table = table_of(steps(conv(3, 4, 3), nn.GroupNorm(2, 4), conv(4, 4, 3), nn.BatchNorm2d(4)), 3, 16, 16)

        assert fields(table) == [(3, 3), (3, 3), (5, 5), (5, 5)]
        assert [layer.statistics for layer in table.layers] == [False, True, False, False]

    @pytest.mark.parametrize(
        "function",
        [
            lambda features: features[:, :, torch.tensor([3, 1, 2])],
            lambda features: features.cumsum(2),
            lambda features: features.roll(3, 2),
            lambda features: torch.cat([features[:, :, :3], features], dim=2),
            lambda features: torch.fft.fft2(features).real,
        ],
        ids=["gathered", "added up", "rolled", "rows joined", "transformed"],
    )
    def test_what_cannot_be_followed_is_unknown_from_there_on(self, function: Callable[[Tensor], Tensor]) -> None:
        table = table_of(steps(conv(3, 4, 3), function, conv(4, 4, 3)), 3, 16, 16)

        assert fields(table)[0] == (3, 3)
        assert [field and field[0] for field in fields(table)[1:]] == [None, None]

    def test_what_is_written_over_is_not_mistaken_for_what_was_there(self) -> None:
        class Overwritten(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                wide = functional.avg_pool2d(images, 5, 1, 2)
                images = images.clone()
                images[:, :, ::2] = wide[:, :, ::2]
                return images.relu()

        last = table_of(Overwritten(), 3, 16, 16).layers[-1]
        assert last.field
        assert last.field[0].size is None

    def test_after_global_pooling_all_is_seen_and_nothing_jumps(self) -> None:
        table = table_of(steps(conv(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), conv(4, 2, 1)), 3, 16, 16)

        field = table.layers[-1].field
        assert field
        assert [(side.size, side.whole, side.jump) for side in field] == [(16, True, None)] * 2

    def test_positions_that_all_see_the_whole_image_keep_their_jump(self) -> None:
        table = table_of(steps(conv(3, 4, 3, stride=2), attended, attended, conv(4, 4, 3, stride=2)), 3, 33, 33)

        field = table.layers[-1].field
        assert field
        assert [(side.whole, side.jump) for side in field] == [(True, 4)] * 2

    def test_a_jump_may_be_a_part_of_a_pixel(self) -> None:
        table = table_of(steps(resized(scale_factor=4, mode="nearest"), conv(3, 4, 3)), 3, 8, 8)

        assert jumps(table.layers[-1]) == (Fraction(1, 4), Fraction(1, 4))
        assert fields(table) == [(1, 1), (2, 2)]


class TestTables:
    def test_a_model_is_built_without_memory(self) -> None:
        model, table = measured(lambda: nn.Linear(1 << 20, 1 << 20), (1, 1, 1 << 20))

        assert next(model.parameters()).is_meta
        assert table.totals.multiply_adds == 1 << 40

    def test_a_model_that_needs_values_is_built_with_them(self) -> None:
        def build() -> nn.Module:
            rate = torch.linspace(0, 1, 3)[1].item()
            return steps(conv(3, 4, 3), nn.Dropout(rate))

        model, table = measured(build, (3, 8, 8))

        assert not next(model.parameters()).is_meta
        assert table.layers[-1].output == (4, 6, 6)

    def test_what_a_model_raises_passes_through(self) -> None:
        with pytest.raises(RuntimeError, match="shapes"):
            measured(lambda: steps(conv(3, 4, 3), nn.Flatten(), nn.Linear(5, 2)), (3, 8, 8))

    def test_layers_fold_where_they_stand_in_a_row(self) -> None:
        model = Unet(image=(3, 16, 16), outputs=2, channels=[2, 2], norm="none")
        table = table_of(model, 3, 16, 16)
        lines = folded(table, model, 2)

        assert [layer.path for layer in lines] == ["encoder.0", "", "encoder.1", "dropout", "narrowing.0", "", "", "decoder.0", "classifier"]  # fmt: skip  # noqa: E501
        assert [layer.kind for layer in lines if not layer.path] == ["max_pool2d", "upsample_bilinear2d", "cat"]
        total = sum(layer.costs.multiply_adds for layer in lines)
        assert total == table.totals.multiply_adds
        decoder = lines[-2]
        assert decoder.kind == "Sequential"
        assert list(decoder.inputs) == [lines[-3].number]

    def test_parts_go_deeper_where_one_child_is_nearly_all(self) -> None:
        model = nn.Sequential(nn.Identity(), ResidualNet(image=(3, 16, 16), outputs=10, depth=8))
        parts = groups(table_of(model, 3, 16, 16), model)

        assert parts[0].path == "0"
        assert all(part.path.startswith("1.") for part in parts[1:])
        assert sum(part.layers for part in parts) == len(table_of(model, 3, 16, 16).layers)

    def test_parts_stay_few(self) -> None:
        model = nn.Sequential(nn.Sequential(*(nn.ReLU() for _ in range(30))))
        (part,) = groups(table_of(model, 3, 16, 16), model)

        assert (part.path, part.layers) == ("0", 30)
