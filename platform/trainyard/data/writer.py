"""Writing a data set from examples in memory: for tests and for small data that a program makes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from trainyard.data.dataset import REPORT_FILE
from trainyard.data.importing.checks import RawShape, Rules, raw_shape
from trainyard.data.importing.destination import check_free, clear, held, publish
from trainyard.data.importing.facts import ShardFacts, manifest_of
from trainyard.data.importing.planning import cut
from trainyard.data.importing.report import report_of, write_report
from trainyard.data.importing.shard import Shard, make_shard, writing_to
from trainyard.data.importing.splitting import split_order
from trainyard.data.location import Location
from trainyard.data.manifest import Annotation, Manifest
from trainyard.data.pictures import Unusable
from trainyard.data.source import Entry, Example, MaskCoding
from trainyard.errors import DataError


def write_dataset(
    path: Path | str | Location,
    examples: Iterable[Example],
    *,
    annotation: Annotation,
    classes: tuple[str, ...],
    source: str,
    mask_coding: MaskCoding | None = None,
) -> Manifest:
    """Write a data set as a whole or not at all, the rows in the order of the examples, which are held in memory.

    Images that are arrays of one shape are stored as they are, of several shapes as PNG. mask_coding: by default a
    mask's values are class indexes. The same examples give the same fingerprint. DataError if `path` exists, if an
    example doesn't fit, or if the disk refuses.
    """
    destination = Location.of(path)
    check_free(destination)
    memory = _InMemory(list(examples))
    if not memory.examples:
        raise DataError(f"{source}: there is no image in it.")
    try:
        rules = Rules(annotation=annotation, classes=classes, mask_coding=mask_coding, raw=memory.raw)
    except Unusable as error:
        raise DataError(f"{source}: {error}.") from error
    shards = [shard for split, entries in memory.splits().items() for shard in cut(split, entries)]
    with held(destination):
        try:
            facts = [_written(shard, memory, rules, destination) for shard in shards]
            manifest = manifest_of(facts, rules, source=source, made_splits={}, problems=0)
            with writing_to(destination):
                write_report(destination, report_of([], format_name=source, source_text=source, on_error="fail"))
                publish(destination, manifest)
        except BaseException:
            clear(destination, [*(shard.file for shard in shards), REPORT_FILE])
            raise
    return manifest


def _written(shard: Shard, memory: "_InMemory", rules: Rules, destination: Location) -> ShardFacts:
    facts = make_shard(shard, memory.read, rules, destination)
    for problem in facts.problems:
        raise DataError(f"{destination}: example {problem.file} (split {shard.split}): {problem.reason}.")
    return facts


class _InMemory:
    """A source of examples."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = {example.name: example for example in examples}
        assert len(self.examples) == len(examples), "two examples have the same name"

    def read(self, entry: Entry) -> Example:
        return self.examples[entry.name]

    def splits(self) -> Mapping[str, Sequence[Entry]]:
        splits: dict[str, list[Entry]] = defaultdict(list)
        for example in self.examples.values():
            size = example.image.nbytes if isinstance(example.image, np.ndarray) else len(example.image)
            splits[example.split].append(Entry(name=example.name, split=example.split, source_bytes=size))
        return {split: splits[split] for split in sorted(splits, key=split_order)}

    @property
    def raw(self) -> RawShape | None:
        """The shape that all images have, if they are arrays of one shape."""
        shapes = {
            raw_shape(example.image) if isinstance(example.image, np.ndarray) else None
            for example in self.examples.values()
        }
        return shapes.pop() if len(shapes) == 1 else None
