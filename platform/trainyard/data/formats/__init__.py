"""Source formats: each file reads one. They are imported when they are used: some bring large libraries."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from trainyard.errors import DataError, UsageError

if TYPE_CHECKING:
    from trainyard.data.formats.tree import Tree
    from trainyard.data.location import Location
    from trainyard.data.manifest import Manifest
    from trainyard.data.source import ImportOptions, Source

AUTO = "auto"
"""Stands for the format that fits what lies there."""


@dataclass(frozen=True, kw_only=True)
class FormatFacts:
    """What a user is told of a format.

    module: reads it. help: one line. layout: an example, lines of paths. options: the fields of ImportOptions that it
    understands, and what each means here. brings_data: it needs no source.
    """

    module: str
    help: str
    layout: str
    options: Mapping[str, str] = field(default_factory=dict)
    brings_data: bool = False


class FormatModule(Protocol):
    """What the module of a format offers."""

    def open_source(self, location: "Location | None", options: "ImportOptions") -> "Source": ...

    def fits(self, tree: "Tree") -> bool:
        """Whether files of that kind lie there, judged by names and a look into few small files."""
        ...


CLASSES = "names of the classes, in the order of their indexes"
SUBSET = "which one, if several lie there"

FORMATS: dict[str, FormatFacts] = {
    "mnist": FormatFacts(
        module="mnist",
        help="idx files, plain or .gz: MNIST, Fashion-MNIST, KMNIST, EMNIST, QMNIST and others.",
        layout="train-images-idx3-ubyte.gz\ntrain-labels-idx1-ubyte.gz\nt10k-images-idx3-ubyte.gz\n...",
        options={"classes": CLASSES, "subset": SUBSET + ": letters"},
    ),
    "cifar10": FormatFacts(
        module="cifar10",
        help="CIFAR-10's python or binary batches, as downloaded or as torchvision leaves them.",
        layout="cifar-10-batches-py/data_batch_1\ncifar-10-batches-py/test_batch\n...",
        options={"classes": CLASSES},
    ),
    "cifar100": FormatFacts(
        module="cifar100",
        help="CIFAR-100's python or binary files.",
        layout="cifar-100-python/train\ncifar-100-python/test\ncifar-100-python/meta",
        options={"classes": CLASSES, "label_column": "fine (100 classes, the default) or coarse (20)"},
    ),
    "camvid": FormatFacts(
        module="camvid",
        help="Road scenes with masks as in the SegNet tutorial: lists of lines `image mask`.",
        layout="train.txt\nval.txt\ntest.txt\ntrain/0001TP_006690.png\ntrainannot/0001TP_006690.png\n...",
        options={"classes": CLASSES, "void": "values of masks to ignore: 11"},
    ),
    "pascal_voc": FormatFacts(
        module="pascal_voc",
        help="Boxes in one XML file for each image, as PASCAL VOC, labelImg, Roboflow and CVAT write them. Corners are "
        "taken as they stand, only those of PASCAL VOC itself as counted from 1.",
        layout="Annotations/000001.xml\nJPEGImages/000001.jpg\nImageSets/Main/train.txt\n...",
        options={"classes": CLASSES, "subset": SUBSET + ": VOC2007"},
    ),
    "coco": FormatFacts(
        module="coco",
        help="Boxes in one JSON file, or one for each split.",
        layout="annotations/instances_train2017.json\ntrain2017/000000000009.jpg\n...",
        options={"classes": CLASSES, "subset": "the JSON files whose names contain this"},
    ),
    "mask_folder": FormatFacts(
        module="mask_folder",
        help="Images and their masks, of the same names, with or without folders or lists of splits.",
        layout="train/images/a.jpg\ntrain/masks/a.png\nclasses.txt\n...",
        options={
            "classes": CLASSES,
            "void": "values of masks that belong to no class: 255",
            "images": "their folder, or a pattern: 'leftImg8bit' or '*_sat.jpg'",
            "masks": "their folder, or a pattern: 'gtFine' or '*_labelIds.png'",
        },
    ),
    "npz": FormatFacts(
        module="npz",
        help="A numpy archive with arrays of images and labels, such as x_train and y_train.",
        layout="mnist.npz: x_train, y_train, x_test, y_test",
        options={
            "classes": CLASSES,
            "images": "name of the array with the images",
            "label_column": "name of the array with the labels",
        },
    ),
    "csv": FormatFacts(
        module="csv_table",
        help="A table with a column of paths and a column of labels.",
        layout="labels.csv: path,label,split\nphotos/a.jpg\n...",
        options={
            "classes": CLASSES,
            "images": "the folder that the paths begin at",
            "path_column": "the column of the paths",
            "label_column": "the column of the labels",
            "split_column": "the column of the splits",
        },
    ),
    "image_folder": FormatFacts(
        module="image_folder",
        help="A folder of images for each class, with or without folders for the splits.",
        layout="train/cat/a.jpg\ntrain/dog/b.jpg\nval/cat/c.jpg\n...",
        options={"classes": CLASSES},
    ),
    "digits": FormatFacts(
        module="digits",
        help="The 1,797 handwritten digits of 8x8 pixels that scikit-learn ships.",
        layout="",
        brings_data=True,
    ),
}
"""Name to facts. Of two formats that both fit a source the earlier one knows more about it."""

_GENERAL = ("mask_folder", "csv", "image_folder")
"""Formats that also fit sources of others, by their folders."""

ALIASES = {"idx": "mnist", "voc": "pascal_voc"}


def open_source(name: str, location: "Location | None", options: "ImportOptions") -> "Source":
    """A source of the named format, or, if that is `auto`, of the one that fits.

    UsageError for an unknown format, for options that it doesn't understand, for a source that it needs or that it
    brings along itself. DataError if no format fits. Whether the named format fits is seen by `listing`.
    """
    name = resolved(name, location)
    facts = _facts(name)
    if location is not None and facts.brings_data:
        raise UsageError(f"{name} brings its data along, got the source {location}. Leave the source out.")
    if location is None and not facts.brings_data:
        raise UsageError(f"{name} needs a source. Write: trainyard data import {name} SRC DST")
    # What a classes file says of masks comes with the names.
    stated = options.stated() - {"class_values", "class_colours"}
    if unknown := sorted(stated - facts.options.keys()):
        understood = ", ".join(map(_flag, facts.options)) or "no options"
        raise UsageError(f"{name} has no {', '.join(map(_flag, unknown))}. It understands {understood}.")
    return _module(name).open_source(location, options)


def resolved(name: str, location: "Location | None") -> str:
    """The name of the format that is meant: an alias stands for one of FORMATS, `auto` for the one that fits.

    UsageError for `auto` without a source. DataError if no format fits it.
    """
    if name != AUTO:
        return ALIASES.get(name, name)
    if location is None:
        raise UsageError("a source is needed. Write: trainyard data import auto SRC DST")
    return _fitting_format(location)


def fitting(tree: "Tree") -> Iterator[str]:
    """The formats that fit a source, the one that knows most about it first."""
    return (name for name, facts in FORMATS.items() if not facts.brings_data and _module(name).fits(tree))


def import_dataset(name: str, destination: Path, source: Path | None = None) -> "Manifest":
    """Read a source of the named format and write it as a data set. UsageError and DataError for what goes wrong."""
    from trainyard.data.importing.run import import_source
    from trainyard.data.location import Location
    from trainyard.data.source import ImportOptions

    place = None if source is None else Location.of(str(source))
    return import_source(open_source(name, place, ImportOptions()), Location.of(str(destination)), format_name=name)


def _fitting_format(location: "Location") -> str:
    from trainyard.data.formats.tree import Tree

    tree = Tree.of(location)
    names = list(fitting(tree))
    if not names:
        known = ", ".join(sorted(FORMATS))
        raise DataError(
            f"{location}: no format fits what lies there: {tree.summary()}.{_reason(tree)} Known formats: {known}."
        )
    certain = [name for name in names if name not in _GENERAL]
    if len(certain) > 1:
        raise DataError(
            f"{location}: several formats fit what lies there: {', '.join(certain)}. Name the one that is meant."
        )
    return names[0]


def _reason(tree: "Tree") -> str:
    """Why the format doesn't fit that probably was meant, if that is cheap to tell."""
    from trainyard.data.formats import coco, csv_table

    if tree.only is not None:
        folder = replace(tree, only=None)
        names = list(fitting(folder))
        if names:
            return f" {tree.only} is a file: name the folder that holds it, {tree.location} ({names[0]})."
    reason = (csv_table.why_not(tree) or coco.why_not(tree)) if tree.images else None
    return "" if reason is None else f" {reason.removesuffix('.')}."


def _facts(name: str) -> FormatFacts:
    if name not in FORMATS:
        close = get_close_matches(name, [*FORMATS, *ALIASES], n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Known formats: {', '.join(sorted(FORMATS))}."
        raise UsageError(f"unknown data format {name}. {hint}")
    return FORMATS[name]


def _module(name: str) -> FormatModule:
    return cast(FormatModule, import_module(f"trainyard.data.formats.{FORMATS[name].module}"))


def _flag(option: str) -> str:
    return "--" + option.replace("_", "-")
