"""What docs/models.md says of torchvision's models is complete."""

import re
from pathlib import Path
from typing import get_args

from trainyard.spec.pretrained import WITH_DROPOUT, Architecture

ROOT = Path(__file__).parents[2]


def test_every_model_of_torchvision_is_listed() -> None:
    listed = (ROOT / "docs" / "models.md").read_text().partition("### torchvision's models\n")[2].partition("\n#")[0]
    assert set(re.findall(r"`(\w+)`", listed)) - {"vit_", "backbone"} == set(get_args(Architecture))


def test_those_with_dropout_are_named() -> None:
    row = re.search(r"^\| `dropout` \| `torchvision` .*$", (ROOT / "docs" / "specs.md").read_text(), re.MULTILINE)
    assert row is not None
    assert [name for name in WITH_DROPOUT if name not in row[0]] == []
