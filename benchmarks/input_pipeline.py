"""How many augmented images a second reach the training step, on one core.

    python benchmarks/input_pipeline.py [--seconds 10] [--repeat 3] [--json FILE]

Images in memory (parts of photographs, uint8), shuffled, gathered into batches, mirrored, turned, shifted, zoomed, and
changed in brightness, contrast and saturation; float32 in [0, 1] at the end. Cases: 3x32x32 in batches of 128, and
3x360x480 with masks, which are moved alike, in batches of 16. Sides: trainyard; torch's DataLoader with torchvision v2
image by image; Ray Data with the same transforms in `map_batches`. Each in a process of its own, all on the same core;
the sides alternate. Goals: 10 times the better peer at 32x32, 1.5 times at 360x480.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import header, median, parser_of, report, run_side, temporary_folder

SIDES = {
    "input_ours": "trainyard",
    "input_torch": "DataLoader + torchvision v2",
    "input_ray": "Ray Data + torchvision v2",
}
CASES = {"small": ("3x32x32", 10.0), "large": ("3x360x480 with masks", 1.5)}


def measure(case: str, sides: Sequence[str], seconds: float, repeat: int, folder: Path) -> list[dict[str, Any]]:
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(repeat):
        for side in sides:
            result = run_side(side, folder / f"{side}-{case}-{number}", case=case, seconds=seconds, timeout=600)
            rates[side].append(result["rate"])
    return [
        {"images": CASES[case][0], "side": SIDES[side], "images/s": median(rates[side]), "slowest": min(rates[side])}
        for side in sides
    ]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run, after warming up")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--without-ray", action="store_true", help="leave Ray Data out: with one core it starts slowly")
    options = parser.parse_args()
    head = header()
    sides = [side for side in SIDES if not (options.without_ray and side == "input_ray")]
    rows, ratios = [], {}
    with temporary_folder() as folder:
        for case, (name, goal) in CASES.items():
            ours, *peers = measure(case, sides, options.seconds, options.repeat, folder)
            rows += [ours, *peers]
            for peer in peers:
                ratios[f"{name}: trainyard / {peer['side']}"] = {
                    "value": ours["images/s"] / peer["images/s"],
                    "at_least": goal,
                }
    report(options, head, rows, ratios)


if __name__ == "__main__":
    main()
