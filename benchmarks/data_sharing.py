"""What a decoded data set costs a sweep: decoding, the wait of each trial for its first batch, memory on the node.

    python benchmarks/data_sharing.py [--images 1500] [--json FILE]

Photographs (JPEG, 480x360) as a data set, resized to 224x224. Two slots (Ray actors with a trainyard worker each) read
it and train trials, one after the other, of a small model that notes when the first batch reaches it. The whole runs
twice, in a Ray of its own each time: without anything in the disk cache, and with it. Memory is what /proc says of the
mappings of the object store in each slot when it has looked at all rows: resident, and proportional, where a page that
n processes use counts 1/n for each. Goals: a second trial's first batch within 0.2 s of its start; proportional sizes
that add up to one copy at most; a start with the disk cache in at most a third of the time.
"""

from typing import Any

from common import header, import_photographs, median, parser_of, report, run_side, temporary_folder

SIDE = 224


def row(name: str, result: dict[str, Any]) -> dict[str, Any]:
    waits = result["waits"]
    return {
        "start": name,
        "decoding s": result["decoding"],
        "trial 1 s": max(wait[0] for wait in waits),
        "trial 2 s": max(wait[1] for wait in waits),
        "later trials s": median([value for wait in waits for value in wait[2:]]),
        "both splits MiB": result["data_mib"],
        "resident MiB, slot 1": result["memory"][0]["resident"],
        "slot 2": result["memory"][1]["resident"],
        "proportional MiB, slot 1": result["memory"][0]["proportional"],
        "slot 2 ": result["memory"][1]["proportional"],
    }


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--images", type=int, default=1500)
    options = parser.parse_args()
    head = header()
    with temporary_folder() as folder:
        data = import_photographs(folder / "data", options.images)
        first, second = (run_side("sharing", folder / place, data=data, side=SIDE) for place in ("without", "with"))
    rows = [row("nothing cached", first), row("disk cache", second)]
    copies = sum(slot["proportional"] for slot in second["memory"]) / second["data_mib"]
    ratios = {
        "a second trial's first batch, s": {"value": max(rows[0]["trial 2 s"], rows[1]["trial 2 s"]), "at_most": 0.2},
        "copies in the two slots by proportional size": {"value": copies, "at_most": 1.01},
        "start with the disk cache / without": {"value": second["decoding"] / first["decoding"], "at_most": 1 / 3},
    }
    report(options, head, rows, ratios)


if __name__ == "__main__":
    main()
