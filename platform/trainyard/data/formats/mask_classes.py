"""Which classes the values of masks mean, from what the user says, a classes file, or a look at some masks."""

from collections.abc import Sequence
from dataclasses import replace

from trainyard.data.formats.class_list import ClassList, Colour
from trainyard.data.formats.mask_samples import MaskSample
from trainyard.data.formats.names import listed
from trainyard.data.importing.masks import MOST_CLASSES
from trainyard.data.manifest import VOID
from trainyard.data.source import ImportOptions, MaskCoding
from trainyard.errors import DataError

MOST_UNNAMED = 64
"""Classes that are taken for such without a name."""

Meaning = tuple[tuple[str, ...], MaskCoding]
"""The names of the classes, and how masks mean them."""


def mask_meaning(sample: MaskSample, stated: ClassList | None, options: ImportOptions, *, where: str) -> Meaning:
    """stated: what a classes file says; what the user says goes before it. DataError if the masks don't bear it out.

    Without names, masks of 0 and 255 or of 0 and 1 are background and foreground, others have the classes class_0 up
    to the largest value, 255 being void.
    """
    if options.classes is not None:
        stated = ClassList(
            names=options.classes,
            values=options.class_values,
            colours=options.class_colours,
            void=options.void or (),
        )
    elif stated is not None and options.void is not None:
        stated = replace(stated, void=(*options.void, *(value for value in stated.void if isinstance(value, tuple))))
    meaning = _unnamed(sample, options.void, where) if stated is None else _named(sample, stated, where)
    if len(meaning[0]) > MOST_CLASSES:
        raise DataError(f"{where}: masks may have {MOST_CLASSES} classes, got {len(meaning[0])}.")
    return meaning


def _named(sample: MaskSample, stated: ClassList, where: str) -> Meaning:
    """By numbers or by colours: of palette images, which have both, whichever explains more."""
    names, values = _values(sample, stated)
    void = tuple(value for value in stated.void if isinstance(value, int)) or ((VOID,) if VOID not in values else ())
    void_colours = tuple(value for value in stated.void if isinstance(value, tuple))
    by_number = 0 if sample.in_colours else sample.explained([*values, *void])
    by_colour = sample.explained_by_colour([*(stated.colours or ()), *void_colours])
    if stated.colours and by_colour > by_number:
        return names, MaskCoding(values=stated.colours, void=void_colours)
    if not by_number:
        known = "their colours are not known" if sample.in_colours and not stated.colours else "none of it is a class's"
        raise DataError(
            f"{where}: the masks hold {_held(sample)}; {known}. Say what each class has, in a classes.json beside the "
            f"masks: {_example(sample, names)}"
        )
    return names, MaskCoding(values=values, void=void)


def _values(sample: MaskSample, stated: ClassList) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and values. Where nobody says, they count from 0; or, if the masks hold as many others, are these."""
    count = len(stated.names)
    if stated.values is not None:
        return stated.names, stated.values
    held = sorted(sample.values.keys() - {value for value in stated.void if isinstance(value, int)})
    if held == [0, VOID] and count == 1:
        return ("background", *stated.names), (0, VOID)
    beyond = set(held) - set(range(count))
    if len(held) == count and beyond and (beyond != {VOID} or count == 2):
        return stated.names, tuple(held)
    return stated.names, tuple(range(count))


def _unnamed(sample: MaskSample, void: Sequence[int | Colour] | None, where: str) -> Meaning:
    held = set(sample.values) - set(void or ())
    if sample.in_colours or not held:
        raise DataError(
            f"{where}: the masks hold {_held(sample)}, and nothing says which classes that means. Say it in a "
            f"classes.json beside them: {_example(sample)}"
        )
    if held <= {0, VOID} and VOID in held:
        return ("background", "foreground"), MaskCoding(values=(0, VOID), void=tuple(void or ()))
    if held <= {0, 1}:
        return ("background", "foreground"), MaskCoding(values=(0, 1), void=tuple(void or (VOID,)))
    largest = max(held - {VOID})
    if (largest >= MOST_UNNAMED and len(held) * 2 < largest) or largest > MOST_CLASSES or min(held) < 0:
        raise DataError(
            f"{where}: the masks hold {_held(sample)}, too far apart to be class indexes. Say which classes they mean "
            f"in a classes.json beside them: {_example(sample)}"
        )
    void = tuple(void) if void is not None else (VOID,)
    return tuple(f"class_{value}" for value in range(largest + 1)), MaskCoding(
        values=tuple(range(largest + 1)), void=void
    )


def _held(sample: MaskSample) -> str:
    if sample.in_colours:
        colours = [f"#{red:02x}{green:02x}{blue:02x}" for (red, green, blue), _ in sample.colours.most_common()]
        return f"the {len(colours)} colours {listed(colours)}" if len(colours) > 1 else f"the colour {colours[0]}"
    values = [str(value) for value in sorted(sample.values)]
    return f"the {len(values)} values {listed(values, 12)}" if len(values) > 1 else f"nothing but {values[0]}"


def _example(sample: MaskSample, names: Sequence[str] = ("background", "road")) -> str:
    if sample.in_colours:
        values: list[str] = [str(list(colour)) for colour, _ in sample.colours.most_common(2)]
    else:
        values = [str(value) for value in sorted(sample.values)[:2]]
    pairs = ", ".join(f'"{name}": {value}' for name, value in zip(names, values, strict=False))
    return f"{{{pairs}, ...}}"
