"""One JSON file of boxes in COCO's form."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainyard.data.formats.boxes import Corners


@dataclass(frozen=True, kw_only=True)
class CocoImage:
    """size: (height, width), if it is stated."""

    id: int | str
    file_name: str
    size: tuple[int, int] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CocoBox:
    id: int | str | None
    image: int | str
    category: int | str
    corners: Corners
    crowd: bool


@dataclass(frozen=True, kw_only=True)
class CocoFile:
    """categories: id to name, in the order of the ids. above: the names that other categories have as theirs above.
    faults: of single annotations."""

    images: Sequence[CocoImage]
    boxes: Sequence[CocoBox]
    faults: Sequence[str] = ()
    categories: Mapping[int | str, str]
    above: frozenset[str]


def looks_like_coco(beginning: bytes) -> bool:
    """By the first few thousand bytes of a file."""
    return beginning.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{") and any(
        key in beginning for key in (b'"images"', b'"annotations"', b'"categories"')
    )


def parse_coco(content: bytes) -> CocoFile:
    """ValueError, which names the place in the JSON, for what isn't of COCO's form. Single annotations that aren't are
    faults, unless none of them has a bbox at all.

    Ids that are text on the one side and numbers on the other are compared as text.
    """
    if not content.strip():
        raise ValueError("it is empty")
    try:
        # Polygons and masks make up most of the file: they go as soon as they are read.
        whole = json.loads(content, object_hook=_without_segmentation)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is no JSON: {error}") from error
    images, annotations, categories = (_list(whole, key) for key in ("images", "annotations", "categories"))
    names = {}
    for place, item in enumerate(categories):
        where = f"categories[{place}]"
        names[_id(item, "id", where)] = _typed(item, "name", str, where).strip()
    ordered = dict(sorted(names.items(), key=lambda pair: (isinstance(pair[0], str), pair[0])))
    pictures = _images(images)
    boxes, faults = _boxes(annotations)
    if faults and not any(isinstance(item, dict) and "bbox" in item for item in annotations):
        raise ValueError(faults[0])
    image_ids = _meant({box.image for box in boxes}, [picture.id for picture in pictures])
    category_ids = _meant({box.category for box in boxes}, list(ordered))
    return CocoFile(
        images=pictures,
        boxes=_renamed(boxes, image_ids, category_ids),
        faults=faults,
        categories=ordered,
        above=frozenset(
            item["supercategory"]
            for item in categories
            if isinstance(item.get("supercategory"), str) and item["supercategory"] != item["name"]
        ),
    )


def _without_segmentation(item: dict[str, Any]) -> dict[str, Any]:
    item.pop("segmentation", None)
    return item


def _images(items: Sequence[Any]) -> list[CocoImage]:
    images: dict[int | str, CocoImage] = {}
    for place, item in enumerate(items):
        where = f"images[{place}]"
        number = _id(item, "id", where)
        if number in images:
            raise ValueError(f"{where}.id: {number} is the id of another image ({images[number].file_name}), too")
        name = _typed(item, "file_name", str, where)
        images[number] = CocoImage(id=number, file_name=name, size=_size(item))
    return list(images.values())


def _boxes(items: Sequence[Any]) -> tuple[list[CocoBox], list[str]]:
    boxes, faults = [], []
    for place, item in enumerate(items):
        try:
            boxes.append(_box(item, f"annotations[{place}]"))
        except ValueError as error:
            faults.append(str(error))
    return boxes, faults


def _meant(written: Iterable[int | str], known: Sequence[int | str]) -> Mapping[int | str, int | str]:
    """Id to the one that is meant, if the ones are all text and the others all numbers; else nothing."""
    written = list(written)
    kinds = {type(value) for value in written}, {type(value) for value in known}
    if kinds not in (({int}, {str}), ({str}, {int})):
        return {}
    as_text = {str(value): value for value in known}
    return {value: as_text[str(value)] for value in written if str(value) in as_text}


def _renamed(
    boxes: list[CocoBox], images: Mapping[int | str, int | str], categories: Mapping[int | str, int | str]
) -> list[CocoBox]:
    if not images and not categories:
        return boxes
    return [
        replace(box, image=images.get(box.image, box.image), category=categories.get(box.category, box.category))
        for box in boxes
    ]


def _box(item: Any, where: str) -> CocoBox:
    image, category = _id(item, "image_id", where), _id(item, "category_id", where)
    box = item.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise ValueError(f"{where}.bbox must be four numbers, left, top, width and height, got {_shown(box)}")
    left, top, width, height = map(float, box)
    return CocoBox(
        id=item.get("id"),
        image=image,
        category=category,
        corners=(left, top, left + width, top + height),
        crowd=bool(item.get("iscrowd")) or bool(item.get("ignore")),
    )


def _list(whole: Any, key: str) -> list[Any]:
    if not isinstance(whole, dict):
        raise ValueError(f"it must hold an object with images, annotations and categories, got {_shown(whole)}")
    if not isinstance(whole.get(key), list):
        found = f"got {_shown(whole[key])}" if key in whole else f"it has only {', '.join(whole) or 'nothing'}"
        raise ValueError(f"{key} must be a list, {found}")
    return whole[key]


def _id(item: Any, key: str, where: str) -> int | str:
    if not isinstance(item, dict):
        raise ValueError(f"{where} must be an object, got {_shown(item)}")
    value = item.get(key)
    if isinstance(value, float) and value.is_integer():
        # pandas writes the ids of a table with gaps as 1.0.
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{where}.{key} must be a whole number or text, got {_shown(value)}")
    return value


def _typed(item: dict[str, Any], key: str, kind: type, where: str) -> Any:
    if not isinstance(item.get(key), kind) or not item[key]:
        raise ValueError(f"{where}.{key} must be text, got {_shown(item.get(key))}")
    return item[key]


def _size(item: dict[str, Any]) -> tuple[int, int] | None:
    height, width = item.get("height"), item.get("width")
    stated = all(isinstance(side, int) and side > 0 for side in (height, width))
    return (height, width) if stated else None  # type: ignore[return-value]


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _shown(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
