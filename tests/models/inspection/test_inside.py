"""Which layers show a network from inside, and what is shown of them."""

import numpy as np
import pytest
import torch
from torch import nn

from trainyard.models.cnn import Cnn
from trainyard.models.inspection.arithmetic import LayerTable, measured
from trainyard.models.inspection.inside import as_grey, filter_layers, filter_slices, look, map_layers, most_likely
from trainyard.models.residual_net import ResidualNet
from trainyard.models.unet import Unet


@pytest.fixture(scope="module")
def vgg16() -> tuple[nn.Module, LayerTable]:
    """Without its weights."""
    from torchvision.models import vgg16

    return measured(vgg16, (3, 224, 224))


class TestVgg16:
    """Simonyan, Zisserman 2015, configuration D, on images of 224x224."""

    def test_filters(self, vgg16: tuple[nn.Module, LayerTable]) -> None:
        model, table = vgg16
        first, last = filter_layers(table)

        assert (first.path, last.path) == ("features.0", "features.28")
        assert [tuple(model.get_submodule(layer.path).weight[:, 0].shape) for layer in (first, last)] == [
            (64, 3, 3), (512, 3, 3),
        ]  # fmt: skip

    def test_feature_maps(self, vgg16: tuple[nn.Module, LayerTable]) -> None:
        _, table = vgg16
        first, last = map_layers(table)

        assert (first.path, first.output) == ("features.4", (64, 112, 112))
        assert (last.path, last.output) == ("features.30", (512, 7, 7))


def test_every_nth_channel_makes_sixteen_pictures() -> None:
    model = nn.Sequential(nn.Conv2d(3, 64, 3), nn.MaxPool2d(2), nn.Conv2d(64, 512, 1), nn.MaxPool2d(2))
    _, table = measured(lambda: model, (3, 16, 16))
    seen = look(model, torch.rand(3, 16, 16), map_layers(table))

    assert [list(maps.channels) for maps in seen.maps] == [list(range(0, 64, 4)), list(range(0, 512, 32))]
    assert [maps.maps.shape for maps in seen.maps] == [(16, 7, 7), (16, 3, 3)]
    assert seen.logits is None


def test_maps_are_those_of_the_forward_pass_even_if_they_are_changed_in_place_later() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(2), nn.ReLU(inplace=True), nn.AvgPool2d(3))
    image = torch.rand(3, 32, 32)
    _, table = measured(lambda: model, (3, 32, 32))
    first = look(model, image, map_layers(table)).maps[0]

    with torch.no_grad():
        expected = model[:2](image[None])[0].clone()
    assert (expected < 0).any()
    np.testing.assert_array_equal(first.maps, expected.numpy())


def test_a_net_that_ends_in_convolutions_is_seen_at_its_last_maps() -> None:
    _, table = measured(lambda: Unet(image=(3, 16, 16), outputs=2, channels=[2, 4]), (3, 16, 16))
    first, last = map_layers(table)

    assert (first.kind, first.output) == ("max_pool2d", (2, 8, 8))
    assert (last.path, last.output) == ("classifier", (2, 16, 16))


def test_a_net_without_pooling_is_seen_where_it_gets_smaller() -> None:
    _, table = measured(lambda: ResidualNet(image=(3, 16, 16), outputs=10, depth=8), (3, 16, 16))
    first, last = map_layers(table)

    assert first.output == (32, 8, 8)
    assert last.output == (64, 4, 4)


def test_filters_of_one_pixel_are_no_pictures_where_there_are_larger_ones() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 5), nn.Conv2d(4, 6, 3), nn.Conv2d(6, 8, 1))
    _, table = measured(lambda: model, (3, 16, 16))
    layers = filter_layers(table)

    assert [layer.path for layer in layers] == ["0", "1"]
    np.testing.assert_array_equal(filter_slices(model, layers[1]), model[1].weight[:, 0].detach().numpy())


def test_logits_of_a_classifier() -> None:
    model = Cnn(image=(1, 16, 16), outputs=4)
    _, table = measured(lambda: model, (1, 16, 16))
    seen = look(model, torch.rand(1, 16, 16), map_layers(table))

    assert seen.logits is not None
    assert seen.logits.shape == (4,)


def test_the_most_likely_class() -> None:
    assert most_likely(np.log(np.array([1.0, 6.0, 3.0]))) == (1, pytest.approx(0.6))
    assert most_likely(np.log(np.array([3.0]))) == (1, pytest.approx(0.75))
    assert most_likely(np.log(np.array([1 / 3]))) == (0, pytest.approx(0.75))


def test_each_picture_goes_from_black_to_white_and_an_even_one_is_black() -> None:
    pictures = as_grey(np.array([[[-1.0, 0.0], [1.0, 3.0]], [[2.0, 2.0], [2.0, 2.0]]]))

    assert pictures.tolist() == [[[0, 64], [128, 255]], [[0, 0], [0, 0]]]
