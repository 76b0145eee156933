"""`plan`, `sweep`, `train` and `evaluate`: from a job to trials, and what they come to on other images."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from trainyard.cli.options import (
    DEFAULT_RESULTS,
    Address,
    Cpus,
    Format,
    Results,
    Trials,
    add,
    job_and_space,
    trials_override,
)
from trainyard.cli.submitted import require_lasting
from trainyard.errors import UsageError

Name = Annotated[str | None, typer.Option("--name", metavar="S", help="Its name. Else <job>-<date>-<time>.")]
Resume = Annotated[
    str | None, typer.Option("--resume", metavar="S", help="Go on with the one of this name; files may be left out.")
]
Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="JOB SPACE [PATH=VALUE]...",
        help="What to train, what may vary, and settings to replace, such as training.epochs=5 search.seed=1.",
    ),
]


def add_to(app: typer.Typer) -> None:
    add(app, plan, sweep, train, evaluate)


def plan(
    files: Files = None,
    trials: Trials = None,
    address: Address = None,
    cpus: Annotated[int | None, typer.Option("--cpus", min=1, metavar="N", help="Plan for so many CPUs.")] = None,
    gpus: Annotated[int | None, typer.Option("--gpus", min=0, metavar="N", help="Plan for so many GPUs.")] = None,
    output: Format = "text",
) -> None:
    """Say what a sweep would do, without starting it.

    Slots, crews, rungs and epochs: on this machine, with the CPUs and GPUs given, or on the cluster at an address.

    \b
    Example:
      trainyard plan jobs/digits_cnn.yaml search_spaces/digits.yaml --cpus 16
    """
    from trainyard.cli.planning import manifest_of, nodes_of, plan_lines
    from trainyard.cli.printing import as_json
    from trainyard.spec.load import load
    from trainyard.sweep.plan import make_plan

    job_file, space_file, overrides = job_and_space(files, "plan")
    job, space = load(job_file, space_file, [*overrides, *trials_override(trials)])
    assert space is not None
    nodes, where = nodes_of(address, cpus, gpus)
    made = make_plan(job, space, nodes, manifest_of(job))
    if output == "json":
        print(as_json({"job": job.name, **made.as_dict()}, indent=2))
    else:
        print("\n".join(plan_lines(made, job, space, where)))


def sweep(
    files: Files = None,
    trials: Trials = None,
    name: Name = None,
    resume: Resume = None,
    results: Results = DEFAULT_RESULTS,
    address: Address = None,
    cpus: Cpus = None,
    output: Format = "text",
) -> None:
    """Search a space for a job.

    Optuna proposes trials, Ray Tune runs them in parallel, MLflow keeps a record of each.

    Ctrl-C ends it in such a way that --resume goes on with it, and so does a crash. A terminal shows a live table, a
    pipe gets a line for each trial. With --format json every line is an object: the plan, the events as in the sweep's
    journal.jsonl, and last {"event": "summary", ...}.

    \b
    Example:
      trainyard sweep jobs/digits_cnn.yaml search_spaces/digits.yaml --trials 20
      trainyard sweep --resume digits-cnn-20260131-120000
    """
    from trainyard.cli.request import new_sweep, resumed_sweep

    _one_name(name, resume)
    require_lasting(results)
    request = resumed_sweep(files, trials, resume, results) if resume else new_sweep(files, trials, name, results)
    from trainyard.cli.running import run

    raise typer.Exit(run(request, address=address, cpus=cpus, output=output))


def train(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="JOB [PATH=VALUE]...",
            help="What to train, and settings to replace, such as optimizer.lr=0.01.",
        ),
    ] = None,
    name: Name = None,
    resume: Resume = None,
    results: Results = DEFAULT_RESULTS,
    address: Address = None,
    cpus: Cpus = None,
    output: Format = "text",
) -> None:
    """Train a job once.

    It is recorded as one run in MLflow. Ray is started only for a job with several workers; with --address, one worker,
    too, trains on a node of that cluster.

    \b
    Example:
      trainyard train jobs/digits_cnn.yaml optimizer.lr=0.003 training.epochs=10
    """
    from trainyard.cli.request import new_training, resumed_training

    _one_name(name, resume)
    require_lasting(results)
    request = resumed_training(files, resume, results) if resume else new_training(files, name, results)
    from trainyard.cli.running import run

    raise typer.Exit(run(request, address=address, cpus=cpus, output=output))


def evaluate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a sweep or a training.")],
    trial: Annotated[
        int | None, typer.Option("--trial", min=0, metavar="N", help="Which of a sweep's trials. Else the best.")
    ] = None,
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="Of the data set.")] = "test",
    results: Results = DEFAULT_RESULTS,
    device: Annotated[
        Literal["cpu", "cuda"] | None,
        typer.Option("--device", help="Else a GPU if this machine has one and the job's workers have."),
    ] = None,
    cpus: Cpus = None,
    code: Annotated[
        Path | None,
        typer.Option("--code", metavar="DIR", help="Where the code of a model of your own is, if it has moved."),
    ] = None,
    output: Format = "text",
) -> None:
    """Measure the best state of a trial on another split.

    Nothing is trained or chosen on it. The metrics are those of the training's own evaluations, printed beside them and
    recorded in the trial's run in MLflow, under the name of the split: test/accuracy. Needs no Ray.

    \b
    Example:
      trainyard evaluate digits-cnn-20260131-120000
      trainyard evaluate digits-cnn-20260131-120000 --trial 3 --split val
    """
    from trainyard.cli.evaluating import Wanted
    from trainyard.cli.evaluating import evaluate as measure
    from trainyard.cli.printing import as_json

    measured = measure(
        Wanted(name=name, results=results, split=split, trial=trial, device=device, cpus=cpus, code=code)
    )
    if output == "json":
        print(as_json(measured.to_json(), indent=2))
    else:
        print("\n".join([*measured.lines(), *(["", measured.told] if measured.told else [])]))
    if measured.undelivered is not None:
        sys.stdout.flush()
        raise measured.undelivered


def _one_name(name: str | None, resume: str | None) -> None:
    if name is not None and resume is not None:
        raise UsageError(f"--resume {resume} goes on under its own name. Leave --name out.")
