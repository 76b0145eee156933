"""The sheet of examples: what is drawn can be seen."""

import numpy as np
from PIL import Image

from trainyard.data.manifest import VOID
from trainyard.data.painting import PAPER, class_colour
from trainyard.data.sheet import CELL_SIDE, Picture, draw_sheet

CLASSES = ("road", "sky", "tree")


def colours(sheet: Image.Image) -> set[tuple[int, int, int]]:
    return {tuple(colour) for colour in np.unique(np.asarray(sheet).reshape(-1, 3), axis=0).tolist()}


def picture(height: int = 20, width: int = 30, **parts: np.ndarray) -> Picture:
    image = np.full((3, height, width), 77, np.uint8)
    return Picture(image=image, caption="one", **parts)


def test_a_small_image_is_enlarged_without_new_colours() -> None:
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, :, 14:] = 255

    sheet = draw_sheet([Picture(image=image, caption="")], classes=CLASSES, title="")

    pixels = np.asarray(sheet)
    assert (pixels == 0).all(axis=2).sum() == (CELL_SIDE // 28) ** 2 * 28 * 14
    assert colours(sheet) == {(0, 0, 0), (255, 255, 255), PAPER}


def test_a_mask_shows_its_classes_and_void_shows_the_image() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[:, 10:] = 1
    mask[:, 20:] = VOID

    sheet = draw_sheet([picture(mask=mask)], classes=CLASSES, title="masks")

    mixed = {tuple(round(77 * 0.4 + part * 0.6) for part in class_colour(index)) for index in (0, 1)}
    assert mixed | {(77, 77, 77)} <= colours(sheet)
    assert {class_colour(0), class_colour(1)} <= colours(sheet), "the legend"
    assert class_colour(2) not in colours(sheet), "only what is on the sheet"


def test_boxes_are_drawn_in_the_colour_of_their_class_and_padding_is_not() -> None:
    boxes = np.array([[2.0, 2.0, 20.0, 15.0], [0.0, 0.0, 30.0, 20.0]])

    sheet = draw_sheet([picture(boxes=boxes, box_labels=np.array([2, -1]))], classes=CLASSES, title="boxes")

    assert class_colour(2) in colours(sheet)
    assert class_colour(0) not in colours(sheet)


def test_rows_hold_as_many_pictures_as_asked_for() -> None:
    narrow = draw_sheet([picture()] * 4, classes=CLASSES, title="", across=2)
    wide = draw_sheet([picture()] * 4, classes=CLASSES, title="", across=4)

    assert wide.width > 1.8 * narrow.width - 40
    assert narrow.height > wide.height


def test_a_long_caption_stays_in_its_cell() -> None:
    short = draw_sheet([picture()], classes=CLASSES, title="")
    long = draw_sheet([Picture(image=picture().image, caption="x" * 500)], classes=CLASSES, title="")

    assert long.size == short.size


def test_neighbouring_classes_have_colours_of_their_own() -> None:
    assert len({class_colour(index) for index in range(40)}) == 40
