"""The errors of a source that isn't of the format that was named."""

from trainyard.data.formats import fitting
from trainyard.data.formats.tree import Tree
from trainyard.data.location import Location
from trainyard.errors import DataError


def folder_tree(name: str, location: Location) -> Tree:
    """The files of a source of a format that reads folders. DataError if it is a file, or if there is nothing."""
    tree = Tree.of(location)
    if tree.only:
        raise DataError(
            f"{location} is a file, and {name} is read from a folder: name the one that holds it.{_other(name, tree)}"
        )
    return tree


def not_of_format(name: str, tree: Tree, looked_for: str) -> DataError:
    """looked_for: what makes a source one of this format."""
    place = tree.location / tree.only if tree.only else tree.location
    hint = _other(name, tree) or " See what each format looks like: trainyard data formats"
    return DataError(f"{place} holds no {looked_for}. Found: {tree.summary()}.{hint}")


def _other(name: str, tree: Tree) -> str:
    """Which format fits, if another one does."""
    place = tree.location / tree.only if tree.only else tree.location
    other = next((other for other in fitting(tree) if other != name), None)
    return f" It looks like {other}: trainyard data import {other} {place} DST" if other else ""
