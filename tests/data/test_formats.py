"""Source formats."""

from pathlib import Path

import numpy as np
import pytest

from trainyard.data.dataset import Dataset
from trainyard.data.decode import decode_split
from trainyard.data.formats import import_dataset
from trainyard.errors import UsageError


def test_the_digits_are_imported_whole_and_stratified(tmp_path: Path) -> None:
    manifest = import_dataset("digits", tmp_path / "digits")
    assert {name: split.rows for name, split in manifest.splits.items()} == {"train": 1257, "val": 270, "test": 270}
    for split in manifest.splits.values():
        assert max(split.class_counts) - min(split.class_counts) <= 6
    # Whoever changes this changes what all runs on the digits were trained on.
    assert manifest.fingerprint == "6ad6df119919b325ed812ab6520fa59e1e292ffc90c7d1e922c77ba7053548fb"

    images = decode_split(Dataset.open(tmp_path / "digits"), "val")["image"]
    assert images.shape == (270, 1, 8, 8)
    assert np.unique(images).tolist() == [round(shade * 255 / 16) for shade in range(17)]


def test_an_unknown_format_gets_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown data format digit. Did you mean digits\?"):
        import_dataset("digit", tmp_path / "digits")
    with pytest.raises(UsageError, match=r"Known formats: digits"):
        import_dataset("vehicles", tmp_path / "vehicles")
