"""What a trial of SAM costs: by trainyard, which embeds images once, and by a script that embeds them in each step.

    python benchmarks/sam_embeddings.py [--architecture NAME] [--images 8] [--epochs 2] [--device cuda] [--json FILE]

Made-up blobs of 256x256 pixels, one object each, SAM with random weights from a file, and three trials with other
learning rates of the mask decoder, box prompts, Dice and cross-entropy, without augmentation. trainyard runs twice, in
a process of its own each time: without anything on the disk, and with the embeddings of the first run. The script has
its images decoded and scaled. Both on as many threads. With random weights neither learns much: what counts is the
time, which is the same with others. Goals: a trial after the first in at most 1/3 of the script's time, and the first
one of a second sweep too. With E epochs the most that can be saved follows from the decoder's share of a step, so the
table has that too: a trial after the first, by epoch, against the script's.
"""

from typing import Any

import torch
from common import BLOB_SIDE, header, import_blobs, median, parser_of, report, run_side, temporary_folder
from safetensors.torch import save_file

from trainyard.cli.machine import cpus_here
from trainyard.models.sam import whole


def row(name: str, trials: list[dict[str, float]], epochs: int) -> dict[str, Any]:
    seconds = [trial["seconds"] for trial in trials]
    later = median(seconds[1:])
    return {
        "side": name,
        "first trial s": seconds[0],
        "later trials s": later,
        "a later epoch s": later / epochs,
        "all s": sum(seconds),
    }


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--architecture", default="sam-vit-base", help="a published one: the script knows no other")
    parser.add_argument("--images", type=int, default=8, help="to train on")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args()
    head = header()
    with temporary_folder() as folder:
        data = import_blobs(folder / "data", options.images)
        torch.manual_seed(0)
        state = whole({"architecture": options.architecture}, (3, BLOB_SIDE, BLOB_SIDE)).state_dict()
        save_file(state, folder / "weights.safetensors")
        given = {
            "data": data,
            "weights": folder / "weights.safetensors",
            "architecture": options.architecture,
            "epochs": options.epochs,
            "device": options.device,
            "threads": cpus_here(),
        }
        script = run_side("sam", folder / "script", who="script", **given)["trials"]
        first = run_side("sam", folder / "first", who="trainyard", **given)["trials"]
        second = run_side("sam", folder / "second", who="trainyard", **given)["trials"]
    names = ("script that embeds in each step", "trainyard", "trainyard, a second sweep")
    rows = [row(name, trials, options.epochs) for name, trials in zip(names, (script, first, second), strict=True)]
    ratios = {
        "a later trial / the script's": {
            "value": rows[1]["later trials s"] / rows[0]["later trials s"],
            "at_most": 1 / 3,
        },
        "the first of a second sweep / the script's": {
            "value": rows[2]["first trial s"] / rows[0]["first trial s"],
            "at_most": 1 / 3,
        },
        "all trials of a sweep / the script's": {"value": rows[1]["all s"] / rows[0]["all s"], "at_most": 1.0},
    }
    report(options, head, rows, ratios)


if __name__ == "__main__":
    main()
