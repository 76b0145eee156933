"""Strips as they are drawn: what is in a panel can be seen, where it is."""

import numpy as np

from trainyard.data.painting import LINE, MARGIN, Mark, class_colour
from trainyard.data.strips import PANEL_SIDE, SCALE, Panel, Strip, draw_strip, scale_colours

Pixels = np.ndarray


def drawn(*panels: Panel, title: str = "", **options: object) -> Pixels:
    return np.asarray(draw_strip(Strip(panels=panels, **options), title=title))  # type: ignore[arg-type]


def panel(height: int = 20, width: int = 30, *marks: Mark) -> Panel:
    return Panel(caption="image", pixels=np.full((height, width, 3), 77, np.uint8), marks=marks)


def test_a_box_is_drawn_where_it_is_enlarged_as_its_image() -> None:
    green = (0, 200, 0)
    pixels = drawn(panel(20, 30, Mark(corners=(3, 4, 12, 10), colour=green)))

    rows, columns = np.nonzero((pixels == green).all(axis=2))
    zoom, top = PANEL_SIDE // 30, MARGIN + 2 * LINE
    assert (rows.min() - top, columns.min() - MARGIN) == (4 * zoom, 3 * zoom)
    assert (rows.max() - top, columns.max() - MARGIN) == (10 * zoom - 1, 12 * zoom - 1)
    assert not (pixels[top + 5 * zoom, MARGIN + 5 * zoom] == green).all(), "only its outline"


def test_words_stay_within_their_image() -> None:
    colour = class_colour(1)
    plain = drawn(panel())
    marked = drawn(panel(20, 30, Mark(corners=(29, 0, 30, 1), colour=colour, word="a long name 0.99")))

    changed = np.nonzero((plain != marked).any(axis=2))
    top, right = MARGIN + 2 * LINE, MARGIN + 300
    assert changed[0].min() >= top
    assert changed[1].max() < right


def test_panels_stand_side_by_side_in_one_size() -> None:
    one, four = drawn(panel()), drawn(*[panel()] * 4)

    assert four.shape[0] == one.shape[0]
    assert (four == 77).all(axis=2).sum() == 4 * (one == 77).all(axis=2).sum() == 4 * 300 * 200


def test_a_large_image_is_reduced_to_the_side_of_a_panel() -> None:
    assert (drawn(panel(480, 600)) == 77).all(axis=2).sum() == PANEL_SIDE * 240


def test_a_long_title_does_not_widen_the_picture_beyond_twice_its_panels() -> None:
    assert drawn(panel(), title="x" * 2000).shape[1] <= 2 * 300 + 2 * MARGIN


def test_the_scale_and_the_words_of_the_colours_are_below() -> None:
    plain = drawn(panel())
    legend = drawn(panel(), legend=[("red", (210, 0, 0))], scaled=True)

    assert legend.shape[0] >= plain.shape[0] + LINE
    for colour in ((210, 0, 0), SCALE[0], SCALE[-1]):
        assert (legend == colour).all(axis=2).any()


def test_numbers_have_the_colours_of_the_scale() -> None:
    shown = scale_colours(np.array([[0, 1], [0.5, np.nan]]))

    assert shown.tolist() == [[SCALE[0].tolist(), SCALE[8].tolist()], [SCALE[4].tolist(), SCALE[0].tolist()]]
