"""Figures of an image, its truth, an answer and its probability, by matplotlib, logged by MLflow's fluent calls."""

import argparse
import json
import statistics
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import mlflow
import numpy as np


def figure(image: np.ndarray, mask: np.ndarray, probability: np.ndarray) -> "plt.Figure":
    found, axes = plt.subplots(1, 4, figsize=(12, 3))
    for axis, (title, shown) in zip(
        axes,
        {"image": image, "truth": mask, "answer": probability > 0.5, "probability": probability}.items(),
        strict=True,
    ):
        axis.imshow(shown)
        axis.set_title(title)
        axis.axis("off")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    options = parser.parse_args()
    mlflow.set_tracking_uri(f"sqlite:///{options.folder}/mlflow.db")
    mlflow.create_experiment("figures", artifact_location=(options.folder / "artifacts").resolve().as_uri())
    mlflow.set_experiment("figures")
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    mask, probability = random.integers(0, 2, (256, 256)), random.random((256, 256))
    seconds = []
    for _ in range(options.rounds):
        with mlflow.start_run():
            began = time.perf_counter()
            for number in range(options.images):
                drawn = figure(image, mask, probability)
                mlflow.log_figure(drawn, f"pictures/{number}.png")
                plt.close(drawn)
            seconds.append(time.perf_counter() - began)
    (options.folder / "result.json").write_text(json.dumps({"seconds": statistics.median(seconds)}))


if __name__ == "__main__":
    main()
