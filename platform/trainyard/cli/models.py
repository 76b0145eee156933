"""`models`: the architectures, their layers, and what they see."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from trainyard.cli.options import Format, add
from trainyard.errors import UsageError


def add_to(app: typer.Typer) -> None:
    add(app, models)


def models(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME|JOB [SETTING=VALUE]... [PHOTO]...]",
            help="An architecture, of trainyard or of torchvision, your own module:function, or a job; its settings, "
            "such as dropout=0.1 (of a job: model.dropout=0.1); photographs for --activations.",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--input", metavar="CxHxW", help="Size of the images: 3x32x32. Else what the model is made for."),
    ] = None,
    outputs: Annotated[
        int | None, typer.Option("--outputs", min=1, metavar="N", help="How many classes. Else a job's data tell.")
    ] = None,
    depth: Annotated[
        int | None, typer.Option("--depth", min=1, metavar="N", help="Fold what is nested deeper into one line.")
    ] = None,
    filters: Annotated[bool, typer.Option("--filters", help="Draw the filters of first and last convolution.")] = False,
    activations: Annotated[
        bool, typer.Option("--activations", help="Draw feature maps of photographs, and say which class each is.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where to draw. Else a folder NAME-inside here.")
    ] = None,
    resize: Annotated[
        Literal["stretch", "pad", "crop"] | None,
        typer.Option("--resize", help="How photographs get to the model's size. Else as the job says, or stretched."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option("--classes", metavar="A,B,...|FILE", help="Names of the classes in the order of their indexes."),
    ] = None,
    output: Format = "text",
) -> None:
    """List architectures, show the layers of one, draw what it sees.

    Of layers: sizes of outputs, receptive fields and their jumps in pixels of the image, parameters, multiply-adds and
    the memory of activations, for one image, of each layer in the order in which they run.

    \b
    Example:
      trainyard models
      trainyard models resnet50 --depth 1
      trainyard models cnn channels=[32,64,128] padding=same --input 3x64x64
      trainyard models vgg16 weights=vgg16.pth --filters --activations beagle.jpg
    """
    if not arguments:
        _list_architectures(output)
        return
    from trainyard.cli.model_choice import Wanted, chosen

    wanted = Wanted.of(arguments, size=size, outputs=outputs)
    draws = filters or activations
    if activations and not wanted.photos:
        raise UsageError("--activations needs photographs. Write: trainyard models NAME --activations PHOTO...")
    if wanted.photos and not activations:
        raise UsageError(
            f"nothing is asked about {wanted.photos[0]}. Add --activations to see it from inside the model."
        )
    if depth is not None and draws:
        raise UsageError("--depth folds the table of layers, and --filters and --activations draw. Leave one out.")
    for name, given in (("--out", out), ("--resize", resize), ("--classes", classes)):
        if given is not None and not draws:
            raise UsageError(f"{name} is for --filters and --activations. Add one of them.")
    # Whatever is wrong with what is asked for is said before torch is loaded, as far as it can be.
    choice = chosen(wanted, classes=classes)
    if draws:
        from trainyard.cli.inside import draw_inside

        draw_inside(choice, wanted.photos, filters=filters, folder=out, resize=resize, output=output)
    else:
        from trainyard.cli.layers import show_layers

        show_layers(choice, depth=depth, output=output)


def _list_architectures(output: Literal["text", "json"]) -> None:
    from trainyard.cli.architectures import architecture_lines, architectures
    from trainyard.cli.printing import as_json

    print(as_json(architectures(), indent=2) if output == "json" else "\n".join(architecture_lines()))
