"""With fixed values the operations are those of torchvision.transforms.v2, on floats. One module, as its import is
slow."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode, functional

from trainyard.data.augment import colour, erasing, filters, maps, policies, tones, warp

HEIGHT, WIDTH = 11, 14
SIZE = {"height": HEIGHT, "width": WIDTH}
IMAGES = torch.rand((4, 3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(0))
GREY = IMAGES[:, :1].contiguous()
MASKS = torch.randint(0, 5, (4, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
STRAIGHT = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
BILINEAR, NEAREST = InterpolationMode.BILINEAR, InterpolationMode.NEAREST


def one(value: float) -> np.ndarray:
    return np.array([value])


def about_centre(*steps: np.ndarray) -> np.ndarray:
    return maps.about_centre(maps.composed(*steps), **SIZE)


def grid_of(move: np.ndarray) -> Tensor:
    theta = maps.in_half_sides(maps.inverse(move), **SIZE)
    centres = [torch.from_numpy((2 * np.arange(side) + 1) / side - 1).float() for side in (WIDTH, HEIGHT)]
    return warp.sampling_grid(torch.from_numpy(theta).float(), *centres)


def moved(move: np.ndarray) -> Tensor:
    return warp.resampled_images(IMAGES[:1], grid_of(move), padding="zeros", fill=0)


def moved_mask(move: np.ndarray) -> Tensor:
    return warp.resampled_masks(MASKS[:1], grid_of(move), padding="zeros")


ALL_MOVES = maps.composed(
    maps.mirrored(np.array([True]), np.array([False]), **SIZE),
    about_centre(
        maps.sheared(np.tan(np.radians(one(12))), np.tan(np.radians(one(-7)))),
        maps.zoomed(one(0.8)),
        maps.turned(np.radians(one(33))),
    ),
    maps.shifted(one(1), one(2)),
)
AFFINE = STRAIGHT | {"angle": 33, "translate": [1, 2], "scale": 0.8, "shear": [12.0, -7.0]}


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        (maps.unmoved(1), lambda image: image),
        (maps.mirrored(np.array([True]), np.array([False]), **SIZE), functional.horizontal_flip),
        (maps.mirrored(np.array([False]), np.array([True]), **SIZE), functional.vertical_flip),
        (
            about_centre(maps.turned(np.radians(one(-25)))),
            lambda image: functional.rotate(image, 25, interpolation=BILINEAR),
        ),
        (
            maps.shifted(one(2), one(-3)),
            lambda image: functional.affine(image, **STRAIGHT | {"translate": [2, -3]}, interpolation=BILINEAR),
        ),
        (
            about_centre(maps.zoomed(one(1.4))),
            lambda image: functional.affine(image, **STRAIGHT | {"scale": 1.4}, interpolation=BILINEAR),
        ),
        (
            about_centre(maps.sheared(np.tan(np.radians(one(20))), np.tan(np.radians(one(-15))))),
            lambda image: functional.affine(image, **STRAIGHT | {"shear": [20.0, -15.0]}, interpolation=BILINEAR),
        ),
        (
            ALL_MOVES,
            lambda image: functional.affine(functional.horizontal_flip(image), **AFFINE, interpolation=BILINEAR),
        ),
    ],
    ids=["nothing", "horizontal flip", "vertical flip", "rotation", "shift", "zoom", "shear", "all"],
)
def test_a_warp_is_the_affine_map(move: np.ndarray, expected: Callable[[Tensor], Tensor]) -> None:
    torch.testing.assert_close(moved(move), expected(IMAGES[:1]), atol=3e-5, rtol=0)


def test_a_mask_is_warped_by_nearest_pixels_and_void_beyond_them() -> None:
    expected = functional.affine(
        functional.horizontal_flip(MASKS[:1] + 1), **AFFINE, interpolation=NEAREST, fill=0
    ).sub_(1)
    assert (expected == 255).any()
    assert torch.equal(moved_mask(ALL_MOVES), expected)


def test_an_enlarged_part_is_the_resized_crop() -> None:
    grid = grid_of(maps.enlarged(np.array([[3, 2, 10, 9]]), **SIZE))
    ours = warp.resampled_images(IMAGES[:1], grid, padding="border", fill=0)
    theirs = functional.resized_crop(IMAGES[:1], 2, 3, 7, 7, [HEIGHT, WIDTH], interpolation=BILINEAR)
    # At its edges the crop is resized from its own pixels only, the warp sees its neighbours.
    torch.testing.assert_close(ours[..., 1:-1, 1:-1], theirs[..., 1:-1, 1:-1], atol=1e-5, rtol=0)


def test_the_whole_image_as_a_resized_crop_is_itself_up_to_its_edges() -> None:
    grid = grid_of(maps.enlarged(np.array([[0.0, 0.0, WIDTH, HEIGHT]]), **SIZE))
    ours = warp.resampled_images(IMAGES[:1], grid, padding="border", fill=0)
    torch.testing.assert_close(ours, IMAGES[:1], atol=1e-5, rtol=0)


COLOURS = {
    "brightness": (colour.brightness, functional.adjust_brightness, [0.3, 0.9, 1.4, 2.0]),
    "contrast": (colour.contrast, functional.adjust_contrast, [0.0, 0.7, 1.3, 2.0]),
    "saturation": (colour.saturation, functional.adjust_saturation, [0.0, 0.6, 1.5, 2.0]),
    "hue": (colour.hue, functional.adjust_hue, [-0.5, -0.13, 0.21, 0.5]),
    "solarize": (tones.solarize, functional.solarize, [0.1, 0.5, 0.8, 1.0]),
    "sharpness": (filters.sharpness, functional.adjust_sharpness, [0.0, 0.4, 1.6, 2.0]),
}


@pytest.mark.parametrize("images", [IMAGES, GREY], ids=["colour", "grey"])
@pytest.mark.parametrize("name", COLOURS)
def test_each_sample_gets_its_own_value(name: str, images: Tensor) -> None:
    ours, theirs, values = COLOURS[name]
    changed = images.clone()
    ours(changed, torch.tensor(values)[:, None])
    expected = torch.stack([theirs(image, value) for image, value in zip(images, values, strict=True)])
    torch.testing.assert_close(changed, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("images", [IMAGES, GREY], ids=["colour", "grey"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (tones.autocontrast, functional.autocontrast),
        (tones.equalize, functional.equalize),
        (colour.greyscale, lambda images: functional.rgb_to_grayscale(images, num_output_channels=images.shape[1])),
    ],
    ids=["autocontrast", "equalize", "greyscale"],
)
def test_what_needs_no_value(ours: Callable[..., None], theirs: Callable[[Tensor], Tensor], images: Tensor) -> None:
    changed = images * 0.8 + 0.1
    expected = theirs(changed.clone())
    ours(changed, torch.zeros(4, 1))
    torch.testing.assert_close(changed, expected, atol=1e-6, rtol=0)


def test_equalize_and_autocontrast_leave_a_flat_image() -> None:
    flat = torch.full((2, 3, 5, 6), 0.6)
    for ours, theirs in ((tones.equalize, functional.equalize), (tones.autocontrast, functional.autocontrast)):
        changed = flat.clone()
        ours(changed, torch.zeros(2, 1))
        torch.testing.assert_close(changed, theirs(flat))


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_posterize(bits: int) -> None:
    changed = IMAGES.clone()
    tones.posterize(changed, torch.full((4, 1), 2.0**bits))
    assert torch.equal(changed, functional.posterize(IMAGES, bits))


def test_blur() -> None:
    sigmas = np.array([0.3, 0.7, 1.1, 1.6])
    radii = filters.blur_radii(1.6, **SIZE)
    changed = IMAGES.clone()
    filters.blur(changed, torch.from_numpy(filters.blur_weights(sigmas, radii)).float(), radii=radii)
    assert radii == (5, 5)
    theirs = [
        functional.gaussian_blur(image, [11, 11], [sigma, sigma])
        for image, sigma in zip(IMAGES, sigmas.tolist(), strict=True)
    ]
    torch.testing.assert_close(changed, torch.stack(theirs), atol=1e-6, rtol=0)


def test_erase() -> None:
    changed = IMAGES.clone()
    erasing.erase(changed, torch.tensor([[[2.0, 3.0, 9.0, 8.0]]]).expand(4, 1, 4), fill=0.25)
    assert torch.equal(changed, functional.erase(IMAGES, 3, 2, 5, 7, torch.tensor(0.25)))


SPACES = {
    "wide": (policies.WIDE, v2.TrivialAugmentWide._AUGMENTATION_SPACE),
    "rand_augment": (policies.rand_augment_strengths(**SIZE), v2.RandAugment._AUGMENTATION_SPACE),
}
NAMES = {
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "translate_x": "TranslateX",
    "translate_y": "TranslateY",
    "rotate": "Rotate",
    "brightness": "Brightness",
    "saturation": "Color",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "posterize": "Posterize",
    "solarize": "Solarize",
}


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("operation", NAMES)
def test_a_policys_operations_are_as_strong(operation: str, space: str) -> None:
    strengths, table = SPACES[space]
    theirs, signed = table[NAMES[operation]]
    expected = theirs(policies.MAGNITUDES + 1, HEIGHT, WIDTH).double().numpy()
    # Half of 32 is 15.999999 there.
    expected = np.trunc(expected + 1e-4) if operation.startswith("translate") else expected
    expected = 1 + expected if operation in policies.FACTORS else expected
    levels = np.arange(policies.MAGNITUDES + 1) / policies.MAGNITUDES
    assert strengths.of(operation, levels, np.ones_like(levels)) == pytest.approx(expected, abs=1e-6)
    if signed:
        negative = strengths.of(operation, levels, -np.ones_like(levels))
        assert negative == pytest.approx(2 - expected if operation in policies.FACTORS else -expected, abs=1e-6)


def test_a_policy_has_torchvisions_operations() -> None:
    assert {*NAMES.values(), "Identity", "AutoContrast", "Equalize"} == v2.RandAugment._AUGMENTATION_SPACE.keys()
    assert len(policies.OPERATIONS) == len(v2.RandAugment._AUGMENTATION_SPACE)


@pytest.mark.parametrize("operation", policies.MOVES)
@pytest.mark.parametrize("level", [0.4, 1.0])
def test_a_policys_moves(operation: str, level: float) -> None:
    draws = policies.PolicyDraws(
        operation=np.array([policies.OPERATIONS.index(operation)]),
        level=one(level),
        sign=np.array([-1]),
        strengths=policies.rand_augment_strengths(**SIZE),
        **SIZE,
    )
    (move,) = draws.moves()
    policy = v2.RandAugment(interpolation=BILINEAR)
    expected = policy._apply_image_or_video_transform(
        IMAGES[:1], NAMES[operation], float(draws.strength(operation)[0]), interpolation=BILINEAR, fill={Tensor: None}
    )
    torch.testing.assert_close(moved(move), expected, atol=3e-5, rtol=0)
