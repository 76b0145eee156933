"""Sources whose images are files of their own."""

from dataclasses import dataclass

from trainyard.data.location import Location
from trainyard.data.source import Entry, Example, ImportOptions


@dataclass(frozen=True, kw_only=True)
class FileSource:
    """The base of a source whose entries are named by the paths of their images, and masks, below a folder."""

    folder: Location
    options: ImportOptions

    def read(self, entry: Entry) -> Example:
        assert entry.split is not None
        return Example(
            name=entry.name,
            split=entry.split,
            image=(self.folder / entry.name).read_bytes(),
            label=entry.label,
            mask=None if entry.mask is None else (self.folder / entry.mask).read_bytes(),
            boxes=entry.boxes,
        )
