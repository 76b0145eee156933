"""What a trial of an SVM costs after the first: by trainyard, and by a script that extracts the features in each.

    python benchmarks/svm_features.py [--images 400] [--json FILE]

Photographs (JPEG) as a data set, resized to 128x128, ResNet-18 with random weights from a file, and four SVMs with
other C and gamma on the 512 averages of its last feature maps. trainyard runs twice, in a process of its own each time:
without anything on the disk, and with the features of the first run. The script has its images in memory, decoded.
All on one thread. Goals: a trial after the first in at most 1/20 of the script's, the first one of a second sweep in
1/5, and the same accuracies.
"""

from typing import Any

import torch
from common import header, import_photographs, median, parser_of, report, run_side, temporary_folder
from torchvision.models import resnet18

SIDE = 128


def row(name: str, trials: list[dict[str, float]]) -> dict[str, Any]:
    seconds = [trial["seconds"] for trial in trials]
    return {
        "side": name,
        "trials": len(seconds),
        "first trial s": seconds[0],
        "later trials s": median(seconds[1:]),
        "slowest later s": max(seconds[1:]),
        "all s": sum(seconds),
    }


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--images", type=int, default=400)
    options = parser.parse_args()
    head = header()
    with temporary_folder() as folder:
        data = import_photographs(folder / "data", options.images, height=240, width=320)
        torch.manual_seed(0)
        torch.save(resnet18().state_dict(), folder / "weights.pt")
        given = {"data": data, "weights": folder / "weights.pt", "side": SIDE}
        script = run_side("svm", folder / "script", who="script", **given)["trials"]
        first = run_side("svm", folder / "first", who="trainyard", **given)["trials"]
        second = run_side("svm", folder / "second", who="trainyard", **given)["trials"]
    names = ("script that extracts in each trial", "trainyard", "trainyard, a second sweep")
    rows = [row(name, trials) for name, trials in zip(names, (script, first, second), strict=True)]
    differences = [
        abs(a["accuracy"] - b["accuracy"]) for ours in (first, second) for a, b in zip(script, ours, strict=True)
    ]
    ratios = {
        "a later trial / the script's": {
            "value": rows[1]["later trials s"] / rows[0]["later trials s"],
            "at_most": 0.05,
        },
        "the first of a second sweep / the script's": {
            "value": rows[2]["first trial s"] / rows[0]["first trial s"],
            "at_most": 0.2,
        },
        "largest difference of an accuracy": {"value": max(differences), "at_most": 0.0},
    }
    report(options, head, rows, ratios)


if __name__ == "__main__":
    main()
