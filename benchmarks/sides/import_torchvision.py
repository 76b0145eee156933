"""The same class folders, read and decoded by torchvision's ImageFolder and not kept."""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from pictures import on_one_core
from torchvision.datasets import ImageFolder


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--source", type=Path, required=True)
    options = parser.parse_args()
    on_one_core()
    started = time.perf_counter()
    pixels = 0
    for image, _ in ImageFolder(options.source):  # type: ignore[attr-defined]
        pixels += np.asarray(image).size
    seconds = time.perf_counter() - started
    (options.folder / "result.json").write_text(json.dumps({"seconds": seconds, "pixels": pixels}))


if __name__ == "__main__":
    main()
