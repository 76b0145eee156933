"""What pictures add to a trial, beside a script that draws and logs the same four with matplotlib.

    python benchmarks/picture_overhead.py [--trials 20] [--json FILE]

none    a sweep of one-epoch segmentation trials in one slot, without pictures
four    the same, and each trial draws four images with truth, answer and probability, which go to its run in MLflow
script  four figures of the same panels by matplotlib, logged by `mlflow.log_figure` (sides/figures.py), again and again

What pictures add is the difference of the overheads of a trial, as in trial_turnaround.
"""

from pathlib import Path
from typing import Any

from common import header, import_blobs, parser_of, report, run_side, temporary_folder, write_specs
from trial_turnaround import figures

JOB: dict[str, Any] = {
    "name": "blobs",
    "task": "semantic_segmentation",
    "model": {"name": "unet", "channels": [4, 8]},
    "loss": {"cross_entropy": {}},
    "optimizer": {"name": "adamw", "lr": 1e-3},
    "training": {"epochs": 1, "batch_size": 8},
    "objective": {"metric": "val/miou", "mode": "max"},
}
SPACE: dict[str, Any] = {"parameters": {"optimizer.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}}}
IMAGES = 4


def sweep(folder: Path, data: Path, *, trials: int, images: int) -> dict[str, float]:
    search = {"sampler": "random", "scheduler": "none", "trials": trials, "max_concurrent": 1}
    write_specs(
        folder, {**JOB, "data": {"path": str(data)}, "pictures": {"images": images}}, {**SPACE, "search": search}
    )
    return figures(run_side("ours", folder, cpus=2), slots=1, skip=3)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--trials", type=int, default=20, help="of each sweep (default 20)")
    options = parser.parse_args()
    if options.trials < 6:
        parser.error("--trials must be at least 6: the first ones are not counted")
    head = header()
    with temporary_folder() as folder:
        data = import_blobs(folder / "data", 16)
        without = sweep(folder / "none", data, trials=options.trials, images=0)
        drawn = sweep(folder / "four", data, trials=options.trials, images=IMAGES)
        script = run_side("figures", folder / "script", images=IMAGES, rounds=options.trials)
    added = drawn["overhead"] - without["overhead"]
    rows = [
        {"side": "trainyard, without pictures", "overhead s/trial": without["overhead"], "pictures s/trial": None},
        {"side": "trainyard, four pictures", "overhead s/trial": drawn["overhead"], "pictures s/trial": added},
        {"side": "script, four figures", "overhead s/trial": None, "pictures s/trial": script["seconds"]},
    ]
    report(
        options, head, rows, {"what pictures add / the script's": {"value": added / script["seconds"], "at_most": 0.5}}
    )


if __name__ == "__main__":
    main()
