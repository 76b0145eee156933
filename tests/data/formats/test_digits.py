"""The digits of scikit-learn."""

from collections import Counter
from pathlib import Path

import numpy as np

from trainyard.data.dataset import Dataset
from trainyard.data.formats import open_source
from trainyard.data.source import ImportOptions


def test_the_splits_and_shades_stay_the_same() -> None:
    source = open_source("digits", None, ImportOptions())
    found = source.listing()
    assert Counter(entry.split for entry in found.entries) == {"train": 1257, "val": 270, "test": 270}
    for split in ("train", "val", "test"):
        counts = Counter(entry.label for entry in found.entries if entry.split == split)
        assert max(counts.values()) - min(counts.values()) <= 6
    rows = [source.read(entry) for entry in found.entries]
    assert np.unique([row.image for row in rows]).tolist() == [round(shade * 255 / 16) for shade in range(17)]
    # Whoever changes this changes what all runs on the digits were trained on.
    assert [entry.name for entry in found.entries[:3]] == ["digits#548", "digits#178", "digits#449"]


def test_what_is_imported_stays_the_same(digits: Path) -> None:
    # Whoever changes this changes what all runs on the digits were trained on.
    assert Dataset.open(digits).manifest.fingerprint.startswith("3f0758e37d07d323")
