"""Files of classes."""

import json

import pytest

from trainyard.data.formats.class_list import ClassList, class_options, parse_classes
from trainyard.errors import DataError, UsageError

GREY, GREEN = (128, 128, 128), (0, 128, 0)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (["sky", "road"], ClassList(names=("sky", "road"))),
        ({"classes": ["sky", "road"], "ignore_index": 255}, ClassList(names=("sky", "road"), void=(255,))),
        ({"classes": ["sky", "road", "mist"], "ignore_index": 2}, ClassList(names=("sky", "road"), void=(2,))),
        ({"road": 7, "sky": 3}, ClassList(names=("sky", "road"), values=(3, 7))),
        ({"0": "sky", "1": "road"}, ClassList(names=("sky", "road"))),
        ({"id2label": {"0": "sky", "2": "road"}}, ClassList(names=("sky", "road"), values=(0, 2))),
        ({"sky": [128, 128, 128], "tree": [0, 128, 0, 255]}, ClassList(names=("sky", "tree"), colours=(GREY, GREEN))),
        ({"sky": "#808080", "tree": "#008000"}, ClassList(names=("sky", "tree"), colours=(GREY, GREEN))),
        ([{"id": 1, "name": "tree"}, {"id": 0, "name": "sky"}], ClassList(names=("sky", "tree"))),
        ({"labels": [{"name": "sky", "color": GREY}]}, ClassList(names=("sky",), colours=(GREY,))),
        ([{"label": "sky"}, {"label": "x", "ignore": True}], ClassList(names=("sky",), void=(1,))),
    ],
)
def test_json(content, expected: ClassList) -> None:
    assert parse_classes(json.dumps(content).encode(), "classes.json") == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("sky\ntraffic light\n", ClassList(names=("sky", "traffic light"))),
        ("name\nsky\ntree\n", ClassList(names=("sky", "tree"))),
        ("0\n1\n2\n", ClassList(names=("0", "1", "2"))),
        ("class 1\nclass 2\n", ClassList(names=("class 1", "class 2"))),
        ("3 sky\n5 traffic light\n", ClassList(names=("sky", "traffic light"), values=(3, 5))),
        ("sky: 0\ntree: 1\n", ClassList(names=("sky", "tree"))),
        ("Pixel Value, Class\n0, background\n1, cell\n", ClassList(names=("background", "cell"))),
        ("128 128 128\tSky\n0 128 0\tTree\n", ClassList(names=("Sky", "Tree"), colours=(GREY, GREEN))),
        ("sky 128 128 128\ntraffic light 0 128 0\n", ClassList(names=("sky", "traffic light"), colours=(GREY, GREEN))),
        ("id,name,r,g,b\n4,sky,128,128,128\n", ClassList(names=("sky",), values=(4,), colours=(GREY,))),
        ("# label:color_rgb:parts:actions\nsky:128,128,128::\n", ClassList(names=("sky",), colours=(GREY,))),
        ("__ignore__\n_background_\ncat\n", ClassList(names=("_background_", "cat"))),
        ("sky\nunlabelled\ntree\n", ClassList(names=("sky", "tree"), values=(0, 2), void=(1,))),
        ("\ufeffsky\r\ntree\r\n", ClassList(names=("sky", "tree"))),
    ],
)
def test_text(content: str, expected: ClassList) -> None:
    assert parse_classes(content.encode(), "classes.txt") == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("classes.json", "{", r"can't read the classes in classes.json: Expecting"),
        ("classes.json", "3", r"it holds neither a list nor a table of classes"),
        ("classes.json", "[1]", r"a class must be a name or an object with a name, got 1"),
        ("classes.json", '[{"id": 0}]', r"a class must have a name and may have a whole number as id, got \{'id': 0\}"),
        (
            "classes.json",
            '{"sky": [1, 2]}',
            r"a colour must be three numbers from 0 to 255 or like #804080, got",
        ),
        ("classes.json", '{"sky": true}', r"sky is True"),
        ("classes.json", '["sky", {"name": "road", "id": 4}]', r"some classes have a number, sky has none"),
        ("classes.txt", "sky\nsky\n", r"sky stands there twice"),
        ("classes.txt", "", r"it names no class"),
        ("classes.txt", "sky\n:::\n", r"a line without a name"),
        ("classes.txt", "1 2 3 4\n", r"a line without a name: 1, 2, 3, 4"),
        ("classes.txt", "sky,1,2\n", r"a line with a name and an id or a colour was expected, got sky, 1, 2"),
    ],
)
def test_what_is_no_list_of_classes(name: str, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_classes(content.encode(), name)


def test_classes_as_a_user_names_them(tmp_path) -> None:
    assert class_options("road, car") == {"classes": ("road", "car")}
    (tmp_path / "classes.txt").write_text("2: road\n3: car\n")
    assert class_options(str(tmp_path / "classes.txt"))["class_values"] == (2, 3)
    with pytest.raises(DataError, match=r"can't read the classes in .*nothing.json: No such file"):
        class_options(str(tmp_path / "nothing.json"))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("x,x", "x stands there twice"),
        ("x,y,", "a name is empty"),
        ("x,, y", "a name is empty"),
        ("", "a name is empty"),
    ],
)
def test_names_that_are_empty_or_doubled_are_refused(text: str, wrong: str) -> None:
    with pytest.raises(UsageError, match=rf"--classes takes different names .*, got '{text}': {wrong}. Write: "):
        class_options(text)
