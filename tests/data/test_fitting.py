"""Images, masks and boxes get to another size together."""

import io

import numpy as np
import pytest
from PIL import Image

from trainyard.data.fitting import Fit, drafted, fit, fitted_boxes, fitted_image, fitted_mask
from trainyard.data.manifest import VOID


def shown(image: np.ndarray, way: Fit) -> np.ndarray:
    return fitted_image(Image.fromarray(image), way)


def gradient(height: int, width: int) -> np.ndarray:
    """Grey that rises to the right."""
    return np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))


def test_stretching_fills_the_canvas_whatever_the_proportions() -> None:
    way = fit((100, 200), (50, 50), "stretch")
    assert (way.source, way.size, way.corner) == ((0, 0, 200, 100), (50, 50), (0, 0))


def test_padding_keeps_the_proportions_and_is_black_around() -> None:
    image = shown(np.full((100, 200), 200, np.uint8), fit((100, 200), (60, 60), "pad"))
    assert (image[15:45] == 200).all()
    assert (image[:15] == 0).all()
    assert (image[45:] == 0).all()


def test_a_padded_mask_is_void_around() -> None:
    mask = fitted_mask(np.full((20, 10), 3, np.uint8), fit((20, 10), (20, 20), "pad"))
    assert (mask[:, 5:15] == 3).all()
    assert (mask[:, :5] == VOID).all()
    assert (mask[:, 15:] == VOID).all()


def test_cropping_takes_the_middle_of_the_longer_side() -> None:
    way = fit((100, 200), (50, 50), "crop")
    assert (way.source, way.size) == ((50, 0, 150, 100), (50, 50))
    image = shown(gradient(100, 200), way)
    assert np.allclose(image[25], np.linspace(64, 191, 50), atol=2)


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
@pytest.mark.parametrize(("size", "canvas"), [((1, 300), (8, 8)), ((300, 1), (8, 8)), ((3, 5), (7, 64))])
def test_odd_shapes_fill_the_canvas(size: tuple[int, int], canvas: tuple[int, int], resize: str) -> None:
    way = fit(size, canvas, resize)  # type: ignore[arg-type]
    assert shown(np.full((*size, 3), 9, np.uint8), way).shape == (*canvas, 3)
    assert fitted_mask(np.ones(size, np.uint8), way).shape == canvas


def test_an_image_of_the_right_size_is_untouched() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    for resize in ("stretch", "pad", "crop"):
        assert np.array_equal(shown(image, fit((9, 7), (9, 7), resize)), image)  # type: ignore[arg-type]


def test_shrinking_averages() -> None:
    stripes = np.tile(np.array([0, 200], np.uint8), (8, 4))
    assert np.allclose(shown(stripes, fit((8, 8), (4, 1), "stretch")), 100, atol=10)


def test_a_masks_classes_are_never_mixed() -> None:
    stripes = np.tile(np.array([1, 7], np.uint8), (8, 4))
    assert set(np.unique(fitted_mask(stripes, fit((8, 8), (5, 3), "stretch")))) <= {1, 7}


BOXES = np.array([[20.0, 10, 60, 30], [0, 0, 10, 100], [190, 90, 200, 100]])


def test_boxes_are_stretched_with_their_image() -> None:
    moved, left = fitted_boxes(BOXES, fit((100, 200), (50, 50), "stretch"))
    assert moved.tolist() == [[5, 5, 15, 15], [0, 0, 2.5, 50], [47.5, 45, 50, 50]]
    assert left.all()


def test_boxes_are_padded_with_their_image() -> None:
    moved, left = fitted_boxes(BOXES, fit((100, 200), (100, 100), "pad"))
    assert moved.tolist() == [[10, 30, 30, 40], [0, 25, 5, 75], [95, 70, 100, 75]]
    assert left.all()


def test_boxes_are_cut_off_by_a_crop_and_those_outside_are_lost() -> None:
    moved, left = fitted_boxes(BOXES, fit((100, 200), (100, 100), "crop"))
    assert moved[0].tolist() == [0, 10, 10, 30]
    assert left.tolist() == [True, False, False]


def jpeg(image: np.ndarray) -> Image.Image:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="jpeg", quality=95)
    return Image.open(buffer)


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
def test_a_much_larger_jpeg_is_decoded_in_part_to_nearly_the_same(resize: str) -> None:
    # 803 is not divisible by the scale: what is drafted is a little wider than the image.
    image = np.stack([gradient(600, 803), gradient(803, 600).T, np.full((600, 803), 90, np.uint8)], axis=2)
    way = fit((600, 803), (60, 60), resize)  # type: ignore[arg-type]
    picture = jpeg(image)
    partly = fitted_image(picture, drafted(picture, way))
    assert picture.size == (201, 150)
    assert np.abs(partly.astype(int) - fitted_image(jpeg(image), way)).max() <= 3


def test_a_jpeg_that_is_not_twice_as_large_is_decoded_in_full() -> None:
    picture = jpeg(gradient(100, 100))
    way = fit((100, 100), (60, 60), "stretch")
    assert drafted(picture, way).source == way.source
    assert picture.size == (100, 100)
