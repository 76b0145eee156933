"""`data import`: from a source format to a data set that jobs can name."""

from pathlib import Path
from typing import Annotated

import typer

from trainyard.cli.options import Verb
from trainyard.errors import UsageError

group = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.add_typer(group, name="data")


@group.callback()
def data() -> None:
    """Data sets: import them.

    \b
    Example:
      trainyard data import digits data/digits
    """


@group.command("import", cls=Verb)
def import_(
    name: Annotated[str, typer.Argument(metavar="FORMAT", help="Of the source; today: digits.")],
    places: Annotated[
        list[Path],
        typer.Argument(
            metavar="[SRC] DST",
            help="The source, unless the format brings its data along as digits does; then the folder to write.",
        ),
    ],
) -> None:
    """Write a data set from a source.

    That is a folder of Parquet files with images, labels and splits, and a manifest.

    The folder appears when it is complete; an import that is interrupted leaves none.

    \b
    Example:
      trainyard data import digits data/digits
    """
    if len(places) > 2:
        raise UsageError(
            f"trainyard data import takes a source and a destination, got {', '.join(map(str, places))}. "
            "Write: trainyard data import FORMAT [SRC] DST"
        )
    from trainyard.data.formats import import_dataset

    *source, destination = places
    manifest = import_dataset(name, destination, source[0] if source else None)
    splits = ", ".join(f"{split} {facts.rows:,}" for split, facts in manifest.splits.items())
    print(f"{destination}: {len(manifest.classes)} classes; rows: {splits}.")
    print(f"Name it in a job: data: {{path: {destination}}}")
