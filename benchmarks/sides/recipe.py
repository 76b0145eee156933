"""A sweep as Ray's documents tell one to write it: a Tune function that runs a TorchTrainer for every trial.

After "Hyperparameter Tuning with Ray Tune" in the user guides of Ray Train
(https://docs.ray.io/en/latest/train/user-guides/hyperparameter-optimization.html), with the searcher and the logger
that Ray has for Optuna and MLflow. Left out in its favour: checkpoints and the dashboard. One trial runs at a time, as
the guide advises where not all fit the cluster.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import optuna
import ray
import ray.train
import ray.train.torch
from first_step import FirstStep
from loop import Digits, build_model, build_optimizer, epoch
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.integration.ray_train import TuneReportCallback
from ray.tune.search.optuna import OptunaSearch


def train_fn_per_worker(config: dict[str, Any]) -> None:
    digits = Digits(Path(config["data"]))
    model = build_model()
    if config["mark"]:
        model = FirstStep(model, config["mark"])
    model = ray.train.torch.prepare_model(model)
    optimizer = build_optimizer(model, config["lr"])
    context = ray.train.get_context()
    place = {"rank": context.get_world_rank(), "workers": context.get_world_size()}
    for number in range(1, config["epochs"] + 1):
        ray.train.report(epoch(model, optimizer, digits, number, **place))


def train_driver_fn(config: dict[str, Any]) -> None:
    trainer = ray.train.torch.TorchTrainer(
        train_fn_per_worker,
        train_loop_config=config["train_loop_config"],
        scaling_config=ray.train.ScalingConfig(num_workers=config["num_workers"]),
        run_config=ray.train.RunConfig(
            name=f"train-trial_id={tune.get_context().get_trial_id()}",
            storage_path=config["storage"],
            callbacks=[TuneReportCallback()],
        ),
    )
    trainer.fit()


class Clock(tune.Callback):
    """When each trial trained, and when Tune, its searcher and its logger were done with it."""

    def __init__(self) -> None:
        self.epochs: dict[str, list[dict[str, float]]] = {}
        self.ended: dict[str, float] = {}

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        if "seconds" in result:
            self.epochs.setdefault(trial.trial_id, []).append({name: result[name] for name in ("began", "seconds")})

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.ended[trial.trial_id] = time.time()


def sweep(options: argparse.Namespace, clock: Clock) -> None:
    fixed = {"data": str(options.data), "epochs": options.epochs, "mark": options.mark}
    search = OptunaSearch(metric="val_accuracy", mode="max", sampler=optuna.samplers.RandomSampler(seed=0))
    tuner = tune.Tuner(
        train_driver_fn,
        param_space={
            "num_workers": options.workers,
            "storage": str(options.folder / "train"),
            "train_loop_config": {"lr": tune.loguniform(1e-4, 1e-2), **fixed},
        },
        tune_config=tune.TuneConfig(search_alg=search, num_samples=options.trials, max_concurrent_trials=1),
        run_config=tune.RunConfig(
            name="recipe",
            storage_path=str(options.folder / "tune"),
            callbacks=[
                MLflowLoggerCallback(tracking_uri=f"sqlite:///{options.folder}/mlflow.db", experiment_name="recipe"),
                clock,
            ],
        ),
    )
    failed = [result.error for result in tuner.fit() if result.error]
    if failed:
        raise SystemExit(f"{len(failed)} trials failed, the first with {failed[0]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for results")
    parser.add_argument("--data", type=Path, required=True, help="the digits, a .npz file")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--mark", default="", help="a file for the time of the first training step")
    options = parser.parse_args()
    # Tune's function holds one CPU, each worker another: with fewer no trial would ever start.
    ray.init(num_cpus=max(2, options.workers + 1), include_dashboard=False)
    clock = Clock()
    sweep(options, clock)
    trials = [
        {
            "first_step": epochs[0]["began"],
            "last_epoch": epochs[-1]["began"] + epochs[-1]["seconds"],
            "ended": clock.ended[trial],
            "training": sum(item["seconds"] for item in epochs),
        }
        for trial, epochs in clock.epochs.items()
    ]
    (options.folder / "result.json").write_text(json.dumps({"trials": trials, "closed": time.time()}))
    ray.shutdown()


if __name__ == "__main__":
    main()
