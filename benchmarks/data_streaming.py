"""A split that is larger than the object store: what streams, how fast, in how much memory.

    python benchmarks/data_streaming.py [--images 4000] [--json FILE]

Photographs (JPEG, 480x360) as a data set, resized to 224x224, read from end to end three times. Streamed with an object
store of 200 MiB, once with a quarter of the images and once with all; and cached, with a store that holds them. Goals:
the memory of four times the images at most 1.2 times that of the fewer, and below the store's size.
"""

from pathlib import Path
from typing import Any

from common import header, import_photographs, median, parser_of, report, run_side, temporary_folder

SIDE = 224
STORE_MIB = 200


def measure(images: int, loading: str, store: int, folder: Path) -> dict[str, Any]:
    data = folder / f"data-{images}"
    if not data.exists():
        import_photographs(data, images)
    result = run_side(
        "streaming", folder / f"{loading}-{images}", data=data, loading=loading, store_mib=store, side=SIDE
    )
    return {
        "loading": loading,
        "images": result["rows"],
        "decoded MiB": result["decoded_mib"],
        "store MiB": store,
        "in the store MiB": result["store"],
        "in the process MiB": result["process"],
        "ready s": result["ready"],
        "first epoch images/s": result["rates"][0],
        "later images/s": median(result["rates"][1:]),
    }


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--images", type=int, default=4000)
    options = parser.parse_args()
    head = header()
    with temporary_folder() as folder:
        fewer = measure(options.images // 4, "streamed", STORE_MIB, folder)
        more = measure(options.images, "streamed", STORE_MIB, folder)
        cached = measure(options.images, "cached", 2000, folder)
    ratios = {
        "store taken, four times the images": {
            "value": more["in the store MiB"] / fewer["in the store MiB"],
            "at_most": 1.2,
        },
        "process, four times the images": {
            "value": more["in the process MiB"] / fewer["in the process MiB"],
            "at_most": 1.2,
        },
        "store taken / store": {"value": more["in the store MiB"] / STORE_MIB, "at_most": 1.0},
        "streamed rate / cached rate": {"value": more["later images/s"] / cached["later images/s"]},
    }
    report(options, head, [fewer, more, cached], ratios)


if __name__ == "__main__":
    main()
