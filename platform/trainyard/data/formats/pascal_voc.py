"""Boxes in one XML file for each image.

Below the source lie one or more data sets, each with a folder Annotations and images beside it, or with both in one
folder. An XML file is of the image that has its name, or else of the one that it names.

Splits are those of ImageSets/Main (`split_lists`; the lists of single classes are passed over, and images that no list
names are left out), or else those of the folders (Roboflow's train, valid, test).

Corners are taken as they stand, in pixels from 0: so labelImg, Roboflow and CVAT write them, and so torchvision reads
them. Only PASCAL VOC itself counts pixels from 1 and includes the last one: a file that names it as its source
(`The VOC2007 Database`) has 1 taken from left and top, unless a box somewhere begins at 0. Boxes marked as difficult
are crowd. Classes are in the order of their names, unless the user names them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from posixpath import dirname, join

from trainyard.data.formats.boxes import indexed_boxes, unknown_classes
from trainyard.data.formats.lookup import Lookup
from trainyard.data.formats.mismatch import folder_tree, not_of_format
from trainyard.data.formats.names import folder_split, stem
from trainyard.data.formats.reading import FileSource
from trainyard.data.formats.split_lists import listed_splits
from trainyard.data.formats.tree import Tree
from trainyard.data.formats.voc_file import VocFile, parse_voc
from trainyard.data.location import Location
from trainyard.data.source import Entry, ImportOptions, Listing, Problem
from trainyard.errors import DataError


def open_source(location: Location, options: ImportOptions) -> "PascalVoc":
    return PascalVoc(folder=location, options=options)


def fits(tree: Tree) -> bool:
    xml = _xml_paths(tree)
    return tree.only is None and bool(tree.images) and any(_is_voc(content) for _, content in tree.read_all(xml[:5]))


@dataclass(frozen=True, kw_only=True)
class PascalVoc(FileSource):
    def listing(self) -> Listing:
        tree = self._tree()
        files, problems = _parsed(tree)
        lookup = Lookup.of(path for path in tree.images if "/Segmentation" not in f"/{path}")
        images, unmatched = _images(files, lookup)
        lists = listed_splits(tree, lookup, voc_folder="ImageSets/Main")
        if lists is None:
            problems += [*unmatched, *_without_boxes(sorted(lookup.paths - images.keys()))]
        else:
            problems += [*lists.problems, *_without_boxes(image for image in lists.splits if image not in images)]
            images = {image: path for image, path in images.items() if image in lists.splits}
        if not images:
            first = next((f" {problem.file}: {problem.reason}." for problem in [*unmatched, *problems]), "")
            raise DataError(f"{tree.location}: no image is there with an XML file of its boxes.{first}")
        names = [box.name for path in images.values() for box in files[path].boxes]
        classes = self.options.classes or tuple(sorted(set(names)))
        indexes = {name: index for index, name in enumerate(classes)}
        entries = [
            Entry(
                name=image,
                split=lists.splits[image] if lists else folder_split(image),
                boxes=indexed_boxes(files[path].boxes, indexes),
                size=files[path].size,
                source_bytes=tree.files[image],
            )
            for image, path in sorted(images.items())
        ]
        return Listing(
            annotation="boxes",
            classes=classes,
            entries=entries,
            problems=[*problems, *unknown_classes(names, classes, str(tree.location))],
            ignored=len(tree.files) - 2 * len(entries),
        )

    def _tree(self) -> Tree:
        tree = folder_tree("pascal_voc", self.folder)
        if not fits(tree):
            raise not_of_format("pascal_voc", tree, "XML files of boxes, with an outermost element `annotation`")
        if self.options.subset is None:
            return tree
        part = tree.only_below(self.options.subset)
        if not fits(part):
            raise DataError(
                f"{tree.location}: no XML files of boxes in a folder {self.options.subset}: {tree.summary()}."
            )
        return part


def _xml_paths(tree: Tree) -> list[str]:
    return [path for path in tree.files if path.lower().endswith(".xml")]


def _is_voc(content: bytes | OSError) -> bool:
    return isinstance(content, bytes) and b"<annotation" in content[:4096]


def _parsed(tree: Tree) -> tuple[dict[str, VocFile], list[Problem]]:
    """XML path to what it says, in pixels from 0; and what can't be read."""
    files: dict[str, VocFile] = {}
    problems = []
    for path, content in tree.read_all(_xml_paths(tree)):
        try:
            if isinstance(content, OSError):
                raise ValueError(content.strerror or str(content))
            files[path] = parse_voc(content)
        except ValueError as error:
            problems.append(Problem(file=path, reason=str(error), kind="unreadable XML"))
            continue
        problems += [Problem(file=path, reason=fault, kind="unreadable box") for fault in files[path].faults]
    if min((file.lowest for file in files.values() if file.by_voc), default=0) >= 1:
        files = {path: file.from_zero() if file.by_voc else file for path, file in files.items()}
    return files, problems


def _images(files: Mapping[str, VocFile], lookup: Lookup) -> tuple[dict[str, str], list[Problem]]:
    """Image to its XML file, and the XML files without."""
    images: dict[str, str] = {}
    problems = []
    for path, file in files.items():
        image, reason = _image(path, file, lookup)
        if image is None:
            problems.append(Problem(file=path, reason=reason, kind="annotation without image"))
        elif image in images:
            reason = f"its image {image} has the boxes of {images[image]} already"
            problems.append(Problem(file=path, reason=reason, kind="two annotations"))
        else:
            images[image] = path
    return images, problems


def _image(path: str, file: VocFile, lookup: Lookup) -> tuple[str | None, str]:
    """The image, or why there is none. Names inside the files are less to be trusted: images get renamed."""
    folder = dirname(path)
    reason = "its image is not there: neither " + " nor ".join(filter(None, [f"{stem(path)}.*", file.filename]))
    for written in (join(folder, stem(path)), file.filename):
        try:
            image = lookup.find(written, near=folder)
        except ValueError as error:
            image, reason = None, str(error)
        if image is not None:
            return image, ""
    return None, reason


def _without_boxes(images: Iterable[str]) -> list[Problem]:
    reason = "there is no XML file with its boxes"
    return [Problem(file=image, reason=reason, kind="image without annotation") for image in images]
