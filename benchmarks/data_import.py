"""How fast image files become a data set, what it costs by image as there are more, and how much memory it takes.

    python benchmarks/data_import.py [--images 1500] [--json FILE]

Image files in class folders: photographs of 480x360 (JPEG, quality 90) and thumbnails of 32x32. Sides, each on one
core: `trainyard data import image_folder`, which reads, decodes, checks and writes every file; and torchvision's
ImageFolder in a plain loop, which reads and decodes them, and keeps nothing. The page cache is warm for both: their
runs alternate. Goals: at least half the rate of reading alone; at most 1.1 times the time by image with four times
the images; at most ten times a file of the data set (32 MiB) of memory beyond that for a few images.
"""

import shutil
from pathlib import Path
from typing import Any

from common import header, median, parser_of, report, run_side, temporary_folder
from sides.pictures import image_files

SIZES = {"480x360": (360, 480), "32x32": (32, 32)}
MORE = {"480x360": 1, "32x32": 10}
"""Times as many images, so that a run takes seconds."""


def measure(size: str, images: int, repeat: int, folder: Path) -> dict[str, Any]:
    """Both sides in turn, over the same files."""
    source = folder / f"images-{size}-{images}"
    image_files(source, images, *SIZES[size])
    runs: dict[str, list[dict[str, Any]]] = {"import_ours": [], "import_torchvision": []}
    for number in range(repeat):
        for side, results in runs.items():
            results.append(run_side(side, folder / f"{side}-{size}-{images}-{number}", source=source))
    shutil.rmtree(source)
    ours, theirs = runs.values()
    return {
        "images": f"{images} of {size}",
        "trainyard images/s": images / median([run["seconds"] for run in ours]),
        "torchvision images/s": images / median([run["seconds"] for run in theirs]),
        "ratio": median([b["seconds"] / a["seconds"] for a, b in zip(ours, theirs, strict=True)]),
        "peak MiB": max(run["peak_mib"] for run in ours),
    }


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--images", type=int, default=1500, help="photographs in the smaller folder")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    head = header()
    rows = []
    with temporary_folder() as folder:
        for size, more in MORE.items():
            few = measure(size, 20, 1, folder)
            for images in (options.images * more, 4 * options.images * more):
                row = measure(size, images, options.repeat, folder)
                rows.append({**row, "MiB beyond 20 images": row["peak MiB"] - few["peak MiB"]})
    by_size = {size: rows[2 * place : 2 * place + 2] for place, size in enumerate(MORE)}
    ratios: dict[str, dict[str, Any]] = {}
    for size, (fewer, larger) in by_size.items():
        ratios[f"{size}: rate against torchvision's reading"] = {"value": larger["ratio"], "at_least": 0.5}
        growth = fewer["trainyard images/s"] / larger["trainyard images/s"]
        ratios[f"{size}: time by image, four times the images"] = {"value": growth, "at_most": 1.1}
        beyond = larger["MiB beyond 20 images"] / 32
        ratios[f"{size}: memory in files of 32 MiB"] = {"value": beyond, "at_most": 10}
    report(options, head, rows, ratios)


if __name__ == "__main__":
    main()
