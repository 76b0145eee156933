"""Whatever is in a file, it is either loaded or refused by an error of our own."""

import contextlib
import random
from pathlib import Path

import pytest

from trainyard.errors import SpecError
from trainyard.spec import load

ROOT = Path(__file__).parents[2]
JOB, SPACE = ROOT / "jobs" / "digits_cnn.yaml", ROOT / "search_spaces" / "digits.yaml"
PIECES = [
    *"{}[]:,'\"\t\n-#&*!%|<",
    ": ",
    "  ",
    "- ",
    "null",
    "true",
    ".nan",
    "1e999",
    "9" * 500,
    "-1",
    "2.5",
    "{a: 1}",
    "[[1]]",
]
PIECES += ["name", "type: ", "loss", "sgd", "yes", "when", "x:y", "<<: ", "é", "\u2028", ""]


def mangled(text: str, generator: random.Random) -> str:
    for _ in range(generator.randint(1, 3)):
        start = generator.randrange(len(text))
        text = text[:start] + generator.choice(PIECES) + text[start + generator.randint(0, 8) :]
    return text


@pytest.mark.parametrize("seed", range(4))
def test_mangled_files_are_loaded_or_refused(seed: int, tmp_path: Path) -> None:
    generator = random.Random(seed)
    job, space = tmp_path / "job.yaml", tmp_path / "space.yaml"
    good = {job: JOB.read_text(), space: SPACE.read_text()}
    for _ in range(25):
        for path, text in good.items():
            path.write_text(mangled(text, generator) if generator.random() < 0.5 else text)
        with contextlib.suppress(SpecError):
            load(job, space)
