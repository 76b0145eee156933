"""The benchmarks are scripts beside the package: what of theirs is tested is imported from their folder."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
