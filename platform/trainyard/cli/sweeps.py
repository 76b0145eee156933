"""`plan`, `sweep` and `train`: from a job to trials."""

from typing import Annotated

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
    add(app, plan, sweep, train)


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


def _one_name(name: str | None, resume: str | None) -> None:
    if name is not None and resume is not None:
        raise UsageError(f"--resume {resume} goes on under its own name. Leave --name out.")
