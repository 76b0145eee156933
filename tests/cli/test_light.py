"""`trainyard --help` and `trainyard check` answer in under a second: they load nothing heavy."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch",
    "ray",
    "mlflow",
    "optuna",
    "pandas",
    "numpy",
    "pyarrow",
    "sklearn",
    "rich",
    "sqlalchemy",
    "matplotlib",
)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["sweep", "--help"],
        ["check", "jobs/digits_cnn.yaml", "search_spaces/digits.yaml"],
        ["schema", "space"],
        ["models"],
        ["models", "resnet5"],
        ["sweep", "jobs/digits_cnn.yaml", "missing.yaml"],
        ["submit", "train", "jobs/digits_cnn.yaml", "data.path=/shared/digits", "--dry-run"],
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_loaded(arguments: list[str], place: Path) -> None:
    code = (
        f"import sys; from trainyard.cli.main import run; run({arguments!r}); "
        f"print('loaded:', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "loaded:"
