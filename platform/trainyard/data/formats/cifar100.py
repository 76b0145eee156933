"""CIFAR-100 as its site offers it: train, test and meta, in the source or in a folder below it.

Each image has two labels, one of 100 fine classes and one of 20 coarse ones; the fine ones are taken unless the option
label_column says coarse.
"""

from dataclasses import replace

from trainyard.data.formats.cifar_batches import Batches, CifarSource, fits_batches
from trainyard.data.formats.tree import Tree
from trainyard.data.location import Location
from trainyard.data.source import ImportOptions
from trainyard.errors import UsageError

FINE = Batches(
    format="cifar100",
    splits={"train": ("train",), "test": ("test",)},
    python_names=("meta", "fine_label_names"),
    binary_names="fine_label_names.txt",
    labels="fine_labels",
    label_bytes=2,
    label_byte=1,
)
COARSE = replace(
    FINE,
    python_names=("meta", "coarse_label_names"),
    binary_names="coarse_label_names.txt",
    labels="coarse_labels",
    label_byte=0,
)


def open_source(location: Location, options: ImportOptions) -> CifarSource:
    """UsageError for a label column that is neither fine nor coarse."""
    batches = {"fine": FINE, "coarse": COARSE}.get((options.label_column or "fine").removesuffix("_labels"))
    if batches is None:
        raise UsageError(f"--label-column of cifar100 must be fine or coarse, got {options.label_column}.")
    return CifarSource(location=location, batches=batches, classes=options.classes)


def fits(tree: Tree) -> bool:
    return fits_batches(tree, FINE)
