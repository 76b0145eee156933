"""`submit`: a training or a sweep for a cluster that is reached through its dashboard."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from trainyard.cli.options import Trials, add
from trainyard.cli.submissions import Dashboard, follow_job, interruptible, ways_on
from trainyard.errors import UsageError


def add_to(app: typer.Typer) -> None:
    add(app, submit)


def submit(
    verb: Annotated[Literal["train", "sweep"], typer.Argument(metavar="train|sweep", help="What is to run there.")],
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB [SPACE] [PATH=VALUE]...", help="As for `trainyard train` and `trainyard sweep`."),
    ] = None,
    address: Dashboard = None,
    id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="By which it is known there. Else its name.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show what it prints, and end with its exit code.")
    ] = False,
    name: Annotated[str | None, typer.Option("--name", metavar="S", help="Its name. Else <job>-<date>-<time>.")] = None,
    trials: Trials = None,
    resume: Annotated[
        str | None,
        typer.Option("--resume", metavar="S", help="Go on with the one of this name; files may be left out."),
    ] = None,
    results: Annotated[
        str | None,
        typer.Option(
            "--results",
            metavar="DIR",
            help="Where all nodes see the results, such as /shared/results. Else TRAINYARD_RESULTS on the nodes.",
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", metavar="NAME=VALUE", help="A variable for all of its processes; may be repeated."),
    ] = None,
    include: Annotated[
        list[Path] | None,
        typer.Option("--include", metavar="PATH", help="A file or folder to ship as well; may be repeated."),
    ] = None,
    ship_package: Annotated[
        bool, typer.Option("--ship-package", help="Run this trainyard there, instead of the nodes' own.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be shipped and run, and stop.")] = False,
) -> None:
    """Train or sweep on a cluster.

    Everything is checked here first. Then the job, the space, the weights that they name and the code of your own
    models are shipped, and nothing else: data and results are where all nodes see them.

    It goes on when this command ends. With --follow, Ctrl-C leaves it running, too.

    \b
    Example:
      trainyard submit sweep jobs/digits_cnn.yaml search_spaces/digits.yaml
          data.path=/shared/data/digits --results /shared/results
          --address http://head:8265 --follow
    """
    from trainyard.cli.submitting import Wanted, prepare
    from trainyard.cluster.submission import check_id, choose_id

    if name is not None and resume is not None:
        raise UsageError(f"--resume {resume} goes on under its own name. Leave --name out.")
    if id is not None:
        check_id(id)
    wanted = Wanted(
        verb=verb,
        arguments=files or (),
        name=name,
        trials=trials,
        resume=resume,
        results=results,
        environment=env or (),
        include=include or (),
        ship_package=ship_package,
    )
    with interruptible("Nothing was submitted.") as known:
        prepared = prepare(wanted, Path.cwd())
        if dry_run:
            print("\n".join(prepared.lines()))
            return
        from trainyard.cluster.jobs import Jobs

        cluster = Jobs.at(address)
        taken = {job.id: job.state for job in cluster.all()}
        chosen = choose_id(id, prepared.submission.name, taken, resumed=resume is not None)
        submission, on = replace(prepared.submission, id=chosen), ways_on(chosen, cluster)
        known.say(f"It is not known whether {chosen} was submitted.", *on)
        cluster.submit(submission, prepared.shipment, _own_package() if ship_package else None)
        known.say(f"{chosen} goes on.", *on)
        print("\n".join([f"Submitted {chosen}.", *prepared.not_shipped(), *on]), flush=True)
        if follow:
            raise typer.Exit(follow_job(cluster, chosen))


def _own_package() -> Path:
    import trainyard

    return Path(str(trainyard.__file__)).parent
