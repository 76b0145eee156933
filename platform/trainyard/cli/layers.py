"""The table of a model's layers, for people and for programs."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from fractions import Fraction
from typing import Any, Literal

from trainyard.cli.model_choice import Choice, refused
from trainyard.cli.printing import GAP, as_json, counted, fitting, not_shown, table, terminal_width
from trainyard.data.loading import readable
from trainyard.models.inspection.arithmetic import Costs, Group, Layer, LayerTable, folded, groups, measured
from trainyard.models.inspection.receptive_fields.field import Extent
from trainyard.spec.scalars import write

_MANY = 20
"""Layers from which on the parts of a model are summed up."""

_FIRST = ("#", "layer", "kind", "output", "field", "parameters")
_BY_WORTH = ("jump", "kernel", "multiply-adds", "from", "memory", "frozen", "buffers")
"""The columns that a narrow terminal has room for: always those, then these as they fit."""

_ORDER = (
    *("#", "layer", "kind", "from", "output", "kernel", "field", "jump"),
    *("parameters", "frozen", "buffers", "multiply-adds", "memory"),
)
_TEXTS = {"layer", "kind", "from", "kernel"}

Fields = tuple[Extent, Extent]


def show_layers(choice: Choice, *, depth: int | None, output: Literal["text", "json"]) -> None:
    """Print the table. depth: see `folded`, of paths as they are shown; None: every layer."""
    with refused(choice):
        model, measures = measured(choice.build(weights=False), choice.image)
    layers = measures.layers if depth is None else folded(measures, model, depth + choice.nesting)
    shown = [replace(layer, path=choice.shown(layer.path)) for layer in layers]
    parts = [replace(group, path=choice.shown(group.path)) for group in groups(measures, model)]
    if output == "json":
        print(as_json(_facts(choice, measures, shown, parts), indent=2))
        return
    width = terminal_width()
    lines = [*_heading(choice), "", *_layer_lines(shown, width), ""]
    if depth is None and len(shown) > _MANY and len(parts) > 1:
        lines += [*_part_lines(parts, width), ""]
    print("\n".join([*lines, *_totals(measures), *_notes(measures)]))


def _heading(choice: Choice) -> list[str]:
    name = choice.name if choice.name != choice.settings.name else ""
    settings = "".join(f" {setting}={write(value)}" for setting, value in choice.settings.settings.items())
    size = "x".join(map(str, choice.image))
    asked = "" if choice.outputs_known else " (nobody says how many: --outputs N)"
    return [
        f"{f'{name}: ' if name else ''}{choice.settings.name}{settings}",
        f"on images of {size}, {counted(choice.outputs, 'output')}{asked}",
    ]


def _layer_lines(layers: Sequence[Layer], width: int | None) -> list[str]:
    rows = [_cells(layer, previous) for layer, previous in zip(layers, [None, *layers], strict=False)]
    return _columns(rows, width)


def _part_lines(parts: Sequence[Group], width: int | None) -> list[str]:
    rows = [
        {
            "layer": group.path or "(the model itself)",
            "kind": f"{group.kind}, {counted(group.layers, 'layer')}",
            "output": _size(group.output),
            "field": _field(group.field),
            "jump": _jump(group.field),
            **_costs(group.costs),
        }
        for group in parts
    ]
    return ["Parts:", *_columns(rows, width)]


def _columns(rows: Sequence[dict[str, str]], width: int | None) -> list[str]:
    """A table of the columns in which there is something, as far as they fit."""
    used = [name for name in _ORDER if any(row.get(name) for row in rows)]
    widths = {name: max(len(name), *(len(row.get(name, "")) for row in rows)) for name in used}
    always = [name for name in _FIRST if name in used]
    more = [name for name in _BY_WORTH if name in used]
    if width is not None:
        left = width - sum(widths[name] + GAP for name in always) + GAP
        more = more[: fitting([widths[name] for name in more], left)]
    shown = [name for name in used if name in always or name in more]
    lines = table(
        shown,
        [[row.get(name, "") for name in shown] for row in rows],
        left=[place for place, name in enumerate(shown) if name in _TEXTS],
    )
    missing = [name for name in used if name not in shown]
    return [*lines, *not_shown(missing, {name: name for name in missing})]


def _cells(layer: Layer, previous: Layer | None) -> dict[str, str]:
    usual = {previous.number if previous else 0}
    return {
        "#": str(layer.number),
        "layer": layer.path or "(the model itself)",
        "kind": layer.kind,
        "from": "" if set(layer.inputs) == usual else " ".join(map(_source, sorted(layer.inputs))),
        "output": _size(layer.output),
        "kernel": _kernel(layer),
        "field": _field(layer.field),
        "jump": _jump(layer.field),
        **_costs(layer.costs),
        **({"parameters": "again"} if layer.again and not layer.costs.parameters else {}),
    }


def _source(number: int) -> str:
    return str(number) if number else "image"


def _costs(costs: Costs) -> dict[str, str]:
    return {
        "parameters": f"{costs.parameters:,}" if costs.parameters else "",
        "frozen": f"{costs.frozen:,}" if costs.frozen else "",
        "buffers": f"{costs.buffers:,}" if costs.buffers else "",
        "multiply-adds": _rounded(costs.multiply_adds) if costs.multiply_adds else "",
        "memory": readable(costs.activation_bytes) if costs.activation_bytes else "",
    }


def _size(size: Sequence[int] | None) -> str:
    return "-" if size is None else "x".join(map(str, size)) or "1"


def _kernel(layer: Layer) -> str:
    """`3x3`, and what isn't usual: `7x7 stride 2`, `3x3 groups 32`."""
    if layer.kernel is None:
        return ""
    parts = ["x".join(map(str, layer.kernel))]
    for name, values in (("stride", layer.stride), ("dilation", layer.dilation)):
        if values and any(value != 1 for value in values):
            parts.append(f"{name} {'x'.join(map(str, values[:1] if len(set(values)) == 1 else values))}")
    return " ".join([*parts, *([f"groups {layer.groups}"] if layer.groups > 1 else [])])


def _field(field: Fields | None) -> str:
    if field is None:
        return "-"
    if all(side.whole for side in field):
        return "whole"
    return _both(*("?" if side.size is None else str(side.size) for side in field))


def _jump(field: Fields | None) -> str:
    if field is None or all(side.jump is None for side in field):
        return ""
    return _both(*("-" if side.jump is None else str(side.jump) for side in field))


def _both(rows: str, columns: str) -> str:
    return rows if rows == columns else f"{rows}x{columns}"


def _rounded(count: int) -> str:
    """Three digits: `442`, `86.7 M`, `15.5 G`."""
    value, unit = float(count), ""
    for larger in ("k", "M", "G", "T"):
        if value < 999.5:
            break
        value, unit = value / 1000, f" {larger}"
    return f"{value:.3g}{unit}"


def _totals(measures: LayerTable) -> list[str]:
    costs = measures.totals
    frozen = f", of which {costs.frozen:,} frozen and {costs.trainable:,} trained" if costs.frozen else ""
    return [
        f"parameters     {costs.parameters:,}{frozen}",
        *([f"buffers        {costs.buffers:,}"] if costs.buffers else []),
        f"multiply-adds  {costs.multiply_adds:,} for an image",
        f"memory         {readable(costs.activation_bytes)} of activations for an image",
    ]


def _notes(measures: LayerTable) -> list[str]:
    layers = measures.layers
    notes = []
    if any(side.size is None for layer in layers if layer.field for side in layer.field):
        notes.append("? A field that can't be followed through what the model does.")
    if any(layer.statistics for layer in layers):
        kinds = ", ".join(dict.fromkeys(layer.kind for layer in layers if layer.statistics))
        notes.append(f"Fields leave out the statistics over the image that {kinds} normalises with.")
    if measures.unused:
        count = counted(len(measures.unused), "tensor")
        notes.append(f"Not used in evaluation: {count} of parameters, the first {measures.unused[0]}.")
    return ["", *notes] if notes else []


def _facts(choice: Choice, measures: LayerTable, layers: Sequence[Layer], parts: Sequence[Group]) -> dict[str, Any]:
    return {
        "name": choice.name,
        "model": {"name": choice.settings.name, **choice.settings.settings},
        "input": choice.image,
        "outputs": choice.outputs,
        "layers": [_layer_facts(layer) for layer in layers],
        "parts": [{**asdict(group), "field": _field_facts(group.field), **_cost_facts(group.costs)} for group in parts],
        "totals": _cost_facts(measures.totals)["costs"],
        "unused": measures.unused,
    }


def _layer_facts(layer: Layer) -> dict[str, Any]:
    inputs = [{"from": number, "size": size} for number, size in sorted(layer.inputs.items())]
    return {**asdict(layer), "inputs": inputs, "field": _field_facts(layer.field), **_cost_facts(layer.costs)}


def _cost_facts(costs: Costs) -> dict[str, Any]:
    return {"costs": {**asdict(costs), "trainable": costs.trainable}}


def _field_facts(field: Fields | None) -> dict[str, Any] | None:
    """null for what doesn't depend on the image; a size of null where it isn't known."""
    return None if field is None else dict(zip(("rows", "columns"), map(_side_facts, field), strict=True))


def _side_facts(side: Extent) -> dict[str, Any]:
    return {"size": side.size, "whole": side.whole, "jump": _plain(side.jump)}


def _plain(value: Fraction | None) -> int | float | None:
    if value is None:
        return None
    return int(value) if value.denominator == 1 else float(value)
