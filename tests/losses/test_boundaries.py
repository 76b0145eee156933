"""Where the class of pixels changes."""

import pytest
import torch

from trainyard.losses.answer import IGNORED
from trainyard.losses.boundaries import near_boundaries

TARGET = torch.randint(0, 3, (2, 9, 11), generator=torch.Generator().manual_seed(0))
TARGET[0, 2:7, 3:9], TARGET[1, :, 4:] = 1, 2
TARGET[0, 4, 5], TARGET[1, 5:, :2], TARGET[1, 0, 10] = IGNORED, IGNORED, IGNORED


@pytest.mark.parametrize("width", [1, 2, 12])
def test_a_pixel_is_near_if_a_square_around_it_has_another_class(width: int) -> None:
    images, rows, columns = TARGET.shape
    expected = torch.zeros(TARGET.shape, dtype=torch.bool)
    for image, row, column in torch.cartesian_prod(*map(torch.arange, (images, rows, columns))).tolist():
        square = TARGET[image, max(0, row - width) : row + width + 1, max(0, column - width) : column + width + 1]
        own = TARGET[image, row, column]
        expected[image, row, column] = own != IGNORED and ((square != own) & (square != IGNORED)).any()
    assert torch.equal(near_boundaries(TARGET, width), expected)
    assert expected.any()


def test_where_nothing_has_a_class_there_is_no_boundary() -> None:
    assert not near_boundaries(torch.full((1, 4, 4), IGNORED), 1).any()
