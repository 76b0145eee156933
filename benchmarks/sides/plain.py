"""The sweep without Ray: Optuna's loop, a PyTorch loop over tensors in memory, MLflow's fluent calls, one process.

As one would write it with care: the data is loaded once, the study and the records are in SQLite, the sweep is a parent
run with nested trials, and an epoch is one `log_metrics`.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import mlflow
import optuna
import torch
from loop import BATCH_SIZE, Digits, build_model, build_optimizer, epoch

SETTINGS = {"optimizer": "adamw", "weight_decay": 1e-2, "batch_size": BATCH_SIZE, "dropout": 0.5, "seed": 0}


class Objective:
    """Trains one trial and records it."""

    def __init__(self, digits: Digits, epochs: int) -> None:
        self.digits = digits
        self.epochs = epochs
        self.trials: list[dict[str, float]] = []

    def __call__(self, trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-4, 1e-2, log=True)
        with mlflow.start_run(run_name=f"trial-{trial.number}", nested=True):
            mlflow.log_params({**SETTINGS, "lr": lr, "epochs": self.epochs})
            torch.manual_seed(0)
            model = build_model()
            optimizer = build_optimizer(model, lr)
            history = []
            for number in range(1, self.epochs + 1):
                metrics = epoch(model, optimizer, self.digits, number)
                history.append({**metrics, "ended": time.time()})
                mlflow.log_metrics(metrics, step=number)
                trial.report(metrics["val_accuracy"], number)
            best = max(metrics["val_accuracy"] for metrics in history)
            mlflow.log_metric("best_val_accuracy", best)
        self._note(history)
        return float(best)

    def _note(self, history: list[dict[str, Any]]) -> None:
        self.trials.append(
            {
                "first_step": history[0]["began"],
                "last_epoch": history[-1]["ended"],
                "training": sum(item["seconds"] for item in history),
            }
        )

    def end(self, study: optuna.Study, trial: Any) -> None:
        """Optuna has been told of the trial."""
        self.trials[-1]["ended"] = time.time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for results")
    parser.add_argument("--data", type=Path, required=True, help="the digits, a .npz file")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0: as many as torch takes by itself")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mlflow.set_tracking_uri(f"sqlite:///{options.folder}/mlflow.db")
    mlflow.create_experiment("plain", artifact_location=(options.folder / "artifacts").as_uri())
    mlflow.set_experiment("plain")
    objective = Objective(Digits(options.data), options.epochs)
    study = optuna.create_study(
        storage=f"sqlite:///{options.folder}/study.db",
        study_name="plain",
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    with mlflow.start_run(run_name="plain"):
        study.optimize(objective, n_trials=options.trials, callbacks=[objective.end])
    result = {"trials": objective.trials, "closed": time.time()}
    (options.folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
