"""`compare` and `ui`: looking at what was recorded."""

import os
import socket
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainyard.cli.options import DEFAULT_RESULTS, Format, Results, add
from trainyard.errors import UsageError

if TYPE_CHECKING:
    from trainyard.tracking.compare import Comparison

_PORTS_TRIED = 20


def add_to(app: typer.Typer) -> None:
    add(app, compare, ui)


def compare(
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="Name of the sweep.")],
    results: Results = DEFAULT_RESULTS,
    output: Format = "text",
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="Show the best N. Else 20, and with json all.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw their curves to a file, .png or .svg.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="What to draw, such as val/loss; repeated, a panel for each. Else the objectives.",
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="PATH",
            help="A setting to tell the curves by, such as optimizer.lr; may be repeated. Else those that vary.",
        ),
    ] = None,
) -> None:
    """Show the trials of a sweep, the best first.

    They are read from MLflow, from wherever the sweep ran. With --plot also as one picture of their curves, epoch by
    epoch, of the best N with --limit.

    \b
    Example:
      trainyard compare digits-cnn-20260131-120000 --limit 10
      trainyard compare digits-cnn-20260131-120000 --plot curves.png
    """
    from trainyard.cli.printing import as_json
    from trainyard.tracking.compare import read_sweep
    from trainyard.tracking.uri import tracking_uri

    _check_plot(plot, metric, label)
    uri = tracking_uri(results)
    found = read_sweep(uri, sweep)
    if plot is not None:
        from trainyard.cli.plot.figure import write_plot
        from trainyard.tracking.curves import read_curves

        write_plot(read_curves(uri, found, metrics=metric or (), labels=label or (), most=limit), plot)
    drawn = None if plot is None else str(plot)
    if output == "json":
        content = found.to_json()
        print(as_json({**content, "trials": content["trials"][:limit], "plot": drawn}, indent=2))
    else:
        print("\n".join([*_lines(found, limit or 20), *([f"Curves: {drawn}"] if drawn else [])]))


def _check_plot(plot: Path | None, metrics: list[str] | None, labels: list[str] | None) -> None:
    """UsageError for what can't be drawn, before anything is read."""
    if plot is not None:
        from trainyard.cli.plot.figure import check_plot_file

        check_plot_file(plot)
    elif metrics or labels:
        raise UsageError("--metric and --label say what --plot draws. Add --plot FILE.png, or leave them out.")


def _lines(found: "Comparison", limit: int) -> list[str]:
    """A comparison for people: the best trials, why others failed, the best one's values."""
    from trainyard.cli.printing import as_overrides, counted, failures, leaderboard, terminal_width

    states = ", ".join(f"{count} {state}" for state, count in found.states.items())
    lines = [f"sweep {found.sweep} {found.state}: {counted(len(found.rows), 'trial')} ({states or 'none'})"]
    if found.rows:
        lines += leaderboard(found.rows, found.objectives, limit=limit, width=terminal_width())
    if len(found.rows) > limit:
        lines.append(f"{len(found.rows) - limit} more; see them with --limit {len(found.rows)}")
    lines += failures(found.rows)
    if found.best is not None:
        lines += ["", f"Best: trial {found.best.trial}"]
        lines += [f"  {override}" for override in as_overrides(found.best.values)]
    return lines


def ui(
    results: Results = DEFAULT_RESULTS,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, metavar="N", help="Port to serve on.")] = 5000,
    host: Annotated[str, typer.Option("--host", metavar="NAME", help="Address to serve on.")] = "127.0.0.1",
) -> None:
    """Serve the MLflow UI.

    It shows the records of a results folder, until Ctrl-C. Where MLFLOW_TRACKING_URI names a server, it says where.

    \b
    Example:
      trainyard ui --port 5001
    """
    from trainyard.tracking.uri import check_reachable, masked, sqlite_path, tracking_uri

    uri = tracking_uri(results)
    path = sqlite_path(uri)
    if path is not None and not path.exists():
        raise UsageError(
            f"{path}: nothing has been recorded there yet. Run a sweep, or name the folder of one with --results."
        )
    check_reachable(uri)
    if uri.startswith(("http://", "https://")):
        print(f"MLflow runs at {masked(uri)}")
        return
    _check_port(host, port)
    print(f"MLflow UI at http://{host}:{port} (Ctrl-C ends it; it takes some seconds to start)", flush=True)
    if not _is_loopback(host):
        print(f"MLflow asks nobody who he is: whoever reaches {host}:{port} can change all records.", file=sys.stderr)
    _serve(uri, host, port)


def _check_port(host: str, port: int) -> None:
    """UsageError if nobody can listen there, with a port that is free."""
    problem = _problem(host, port)
    if problem is None:
        return
    others = range(port + 1, min(port + _PORTS_TRIED, 65536))
    free = next((other for other in others if not _problem(host, other)), None)
    way_out = f"Choose another: trainyard ui --port {free}" if free else "Choose another --port or --host."
    raise UsageError(f"{host}:{port} can't be listened on: {problem}. {way_out}")


def _is_loopback(host: str) -> bool:
    """Whether what listens there is heard on this machine only."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return all(ip_address(str(address[0])).is_loopback for *_, address in found)


def _problem(host: str, port: int) -> str | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def _serve(uri: str, host: str, port: int) -> None:
    """Become the server of MLflow: its own program, so that its signals and its exit code are its own."""
    from trainyard.tracking.uri import default_artifacts

    artifacts = default_artifacts(uri)
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port)]
    # One process: each takes seconds to start, and serves one person well.
    command += ["--workers", "1", *(["--default-artifact-root", artifacts] if artifacts else [])]
    command += ["--uvicorn-opts", "--log-level=warning --lifespan=off"]
    defaults = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONWARNINGS": "ignore",
        # Jobs of its own that MLflow would run (scoring, archiving of traces): we have none, they cost a process each.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    # Not as an option: it may have a password in it, and everyone on the machine may read command lines.
    os.execve(sys.executable, command, {**defaults, **os.environ, "MLFLOW_BACKEND_STORE_URI": uri})
