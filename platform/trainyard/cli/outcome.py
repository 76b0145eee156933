"""What is printed when a sweep or a training is over."""

from collections.abc import Sequence
from typing import Any

from trainyard.cli.options import results_option
from trainyard.cli.printing import as_json, as_overrides, failures, leaderboard, number, terminal_width
from trainyard.cli.progress import Progress
from trainyard.cli.request import Request
from trainyard.tracking.compare import Row
from trainyard.tracking.uri import masked, tracking_uri

ROWS_SHOWN = 10


def conclude(request: Request, progress: Progress, state: str, reason: str, output: str) -> None:
    """Print what came of it: a table and the commands to go on with, or a JSON object."""
    rows = progress.rows()
    if output == "json":
        print(as_json(_summary(request, progress, rows, state, reason)), flush=True)
        return
    if rows and request.space is not None:
        print("\n".join(["", *leaderboard(rows, progress.objectives, limit=ROWS_SHOWN, width=terminal_width())]))
    print("\n".join([*failures(rows), *_closing(request, progress, rows)]), flush=True)


def _closing(request: Request, progress: Progress, rows: Sequence[Row]) -> list[str]:
    lines = [""]
    best = rows[0] if rows and rows[0].best_epoch is not None else None
    if best is not None:
        reached = ", ".join(f"{metric}={number(best.objectives[metric])}" for metric, _ in progress.objectives)
        trial = "" if request.space is None else f"trial {best.trial}, "
        lines.append(f"Best: {trial}{reached} at epoch {best.best_epoch}")
        lines += [f"  {override}" for override in as_overrides(best.values)]
        lines.append("")
    elif reasons := [row.reason for row in rows if row.state == "finished"]:
        lines += [f"Best: none ({reasons[0]})", ""]
    where = results_option(request.results)
    if request.space is not None:
        lines.append(f"Compare the trials:   trainyard compare {request.name}{where}")
    lines.append(f"Open the MLflow UI:   trainyard ui{where}")
    return lines


def _summary(request: Request, progress: Progress, rows: Sequence[Row], state: str, reason: str) -> dict[str, Any]:
    best = rows[0] if rows and rows[0].best_epoch is not None else None
    return {
        "event": "summary",
        "name": request.name,
        "state": state,
        "reason": reason,
        "trials": dict(sorted(progress.counts.items())),
        "best": best
        and {
            "trial": best.trial,
            "epoch": best.best_epoch,
            "objectives": dict(best.objectives),
            "values": dict(best.values),
        },
        "folder": str(request.results / request.name),
        "tracking_uri": masked(tracking_uri(request.results)),
    }
