"""`path=value` as given on the command line."""

from collections.abc import Sequence
from typing import Any

from trainyard.errors import Problem
from trainyard.spec.scalars import show
from trainyard.spec.source import COMMAND_LINE


def read_overrides(overrides: Sequence[str]) -> tuple[dict[str, Any], list[Problem]]:
    """The values by path, read as YAML (`1e-4` is a number, `[16, 32]` a list), and problems with what is malformed."""
    # Imported here: ruamel.yaml costs as much as the rest of spec together, and only reading needs it.
    from trainyard.spec.yaml_reader import read_value

    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for override in overrides:
        path, equals, text = override.partition("=")
        path = path.strip()
        if not equals or not path:
            message = f"expected path=value, such as training.epochs=5, got {show(override)}."
            problems.append(Problem(COMMAND_LINE, message))
        elif path.partition(".")[0] == "parameters":
            message = f"{path} can't be overridden: what a space searches, and its ranges, are changed in its file."
            problems.append(Problem(COMMAND_LINE, message))
        elif path in values:
            problems.append(Problem(COMMAND_LINE, f"{path} is given twice. Keep one."))
        elif not text.strip():
            problems.append(Problem(COMMAND_LINE, f"{path} has no value. Write {path}=null for none."))
        else:
            try:
                values[path] = read_value(text)
            except ValueError as error:
                problems.append(Problem(COMMAND_LINE, f"the value of {path} isn't YAML: {error}"))
    return values, problems
