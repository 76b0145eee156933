"""Where the time to the first step went: the notes of all processes of a command, in order."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHORTEST = 0.1
"""Seconds; what took less is left out."""

SERVANTS = ("agent.py", "dashboard.py", "log_monitor.py", "monitor.py", "main.py")
"""Scripts of Ray's own daemons, which nothing here waits for."""

TUNE_NAMES = {"ResourceTrainable": "Slot", "ImplicitFunc": "Tune function"}
"""What Tune calls the actors that it makes of a class and of a function."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something that a process did. at: seconds since the command was given. seconds: None for a moment."""

    process: str
    what: str
    at: float
    seconds: float | None

    def as_dict(self) -> dict[str, Any]:
        return {"at": self.at, "seconds": self.seconds, "process": self.process, "what": self.what}


def read_notes(folder: Path, *, given: float, until: float) -> list[Note]:
    """The notes that began before `until`, by time. A process is called after the actor that it became."""
    notes: list[Note] = []
    for file in folder.glob("*.jsonl"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        name = _process(lines)
        if name is not None:
            notes += [
                Note(
                    process=f"{name} {file.stem}",
                    what=_what(line["what"], name),
                    at=line["began"] - given,
                    seconds=line["seconds"],
                )
                for line in lines
                if line["began"] < until
            ]
    return sorted(notes, key=lambda note: note.at)


def _process(lines: Sequence[Mapping[str, Any]]) -> str | None:
    """`Roster`, `command`; None for a daemon of Ray's."""
    begun = [line["what"].removeprefix("process ") for line in lines if line["what"].startswith("process ")]
    actors = [_actor(line["what"]) for line in lines if line["what"].startswith("actor ")]
    if actors:
        return TUNE_NAMES.get(actors[0], actors[0])
    if not begun or begun[0] in SERVANTS:
        return None
    return {"default_worker.py": "idle worker", "recipe.py": "command"}.get(begun[-1], begun[-1])


def _what(what: str, process: str) -> str:
    """The note as it is shown: a process loads the class of every actor to which it is given a handle, too."""
    if not what.startswith("actor "):
        return what
    actor = TUNE_NAMES.get(_actor(what), _actor(what))
    return "load its class" if actor == process else f"load the class {actor}"


def _actor(what: str) -> str:
    return what.rpartition(".")[2].removeprefix("actor ")


def timeline(notes: Sequence[Note]) -> Iterator[str]:
    """A line for each note worth one."""
    width = max((len(note.process) for note in notes), default=0)
    for note in notes:
        if note.seconds is None or note.seconds >= SHORTEST:
            took = f"{note.seconds:6.2f} s" if note.seconds is not None else " " * 8
            yield f"{note.at:7.2f}  {took}  {note.process:{width}}  {note.what}"
