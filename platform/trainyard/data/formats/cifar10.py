"""CIFAR-10 as its site offers it: data_batch_1 to data_batch_5 and test_batch, in the source or a folder below it."""

from trainyard.data.formats.cifar_batches import Batches, CifarSource, fits_batches
from trainyard.data.formats.tree import Tree
from trainyard.data.location import Location
from trainyard.data.source import ImportOptions

CIFAR10 = Batches(
    format="cifar10",
    splits={"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)},
    python_names=("batches.meta", "label_names"),
    binary_names="batches.meta.txt",
    labels="labels",
    label_bytes=1,
    label_byte=0,
)


def open_source(location: Location, options: ImportOptions) -> CifarSource:
    return CifarSource(location=location, batches=CIFAR10, classes=options.classes)


def fits(tree: Tree) -> bool:
    return fits_batches(tree, CIFAR10)
