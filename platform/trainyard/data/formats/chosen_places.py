"""Where the user says that images or masks are: a folder, or a pattern with `*`."""

from fnmatch import fnmatch
from os.path import abspath, realpath
from posixpath import basename, dirname, normpath

from trainyard.data.formats.names import listed
from trainyard.data.formats.tree import Tree
from trainyard.data.location import Location
from trainyard.errors import DataError


def chosen_place(tree: Tree, written: str | None, flag: str) -> str | None:
    """What is written in the form of `lies_in`. It may begin at any folder of the source, at the source, at the working
    directory (as a shell completes it), or be absolute or a URI. DataError if none of the images lies there."""
    if written is None:
        return None
    own = normpath(written) if written else "."
    candidates = ["" if own == "." else own] if "://" not in written and not own.startswith("/") else []
    below = _below(tree.location, written)
    candidates += [] if below is None else [f"/{below}" if below else ""]
    for where in candidates:
        if any(lies_in(path, where) for path in tree.images):
            return where
    if "*" in own:
        what, there = f"no image fits the pattern {written}", tree.summary()
    else:
        what, there = f"no folder {written} with images in the source", listed(sorted(tree.folders), 12)
    raise DataError(f"{tree.location}: {what} ({flag}). There are: {there or tree.summary()}.")


def lies_in(path: str, where: str) -> bool:
    """where: names of folders on the way to the file, from the source on if they begin with `/`; a pattern for its path
    or its name; everything if it is empty."""
    if "*" in where:
        if where.startswith("/"):
            return fnmatch(path, where[1:])
        return fnmatch(path, where) or fnmatch(basename(path), where)
    if where.startswith("/"):
        return f"/{dirname(path)}/".startswith(f"{where}/")
    return not where or f"/{where}/" in f"/{dirname(path)}/"


def _below(location: Location, written: str) -> str | None:
    """The path below a source of something that is written from elsewhere; None if it isn't in there."""
    if location.local and "://" not in written:
        whole = str(location.local)
        pairs = [(abspath(written), abspath(whole)), (realpath(written), realpath(whole))]
    else:
        if "://" not in written:
            return None
        other = Location.of(written)
        pairs = [(other.path, location.path)] if other.scheme == location.scheme else []
    for end, start in pairs:
        if f"{end}/".startswith(f"{start.rstrip('/')}/"):
            return end[len(start.rstrip("/")) :].strip("/")
    return None
