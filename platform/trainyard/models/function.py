"""Functions given by name, as `module:function`: the user's own models."""

import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import Any

from trainyard.errors import TrialError


def named_function(name: str, directory: Path | None) -> Callable[..., Any]:
    """The function `module:function`, the module found in `directory` (the job's) first.

    The folder stays on the import path, as the model may import its own files whenever it likes. TrialError if there
    is no such function; whatever the module itself raises while it is imported passes through.
    """
    module_name, function_name = name.split(":")
    if directory is not None:
        _look_first_in(directory.resolve(), module_name.partition(".")[0])
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there: it is its own import that fails
        place = directory.resolve() if directory else "the import path"
        raise TrialError(f"model {name}: there is no module {error.name} in {place}.") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        functions = [known for known, value in vars(module).items() if callable(value)]
        close = get_close_matches(function_name, functions, n=1)
        hint = f" Did you mean {module_name}:{close[0]}?" if close else ""
        raise TrialError(f"model {name}: {module.__file__} has no function {function_name}.{hint}")
    return function


def _look_first_in(directory: Path, package: str) -> None:
    """Put `directory` first on the import path, and forget a package of the same name from another job's folder."""
    if str(directory) in sys.path:
        sys.path.remove(str(directory))
    sys.path.insert(0, str(directory))
    invalidate_caches()
    loaded = getattr(sys.modules.get(package), "__file__", None)
    own = [directory / f"{package}.py", directory / package / "__init__.py"]
    if loaded is not None and any(file.exists() for file in own) and Path(loaded) not in own:
        for module in [known for known in sys.modules if known == package or known.startswith(f"{package}.")]:
            del sys.modules[module]
