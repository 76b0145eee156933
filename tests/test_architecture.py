"""The house: imports run one way, and ray stays where it belongs."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "platform" / "trainyard"

LAYERS = [{"cli"}, {"sweep", "tracking", "cluster"}, {"training"}, {"tasks"}, {"models", "losses", "data"}, {"spec"}]
"""Outermost first: a module imports from its own room and from those further down."""

SIDEWAYS = {("sweep", "tracking"), ("sweep", "cluster")}
"""Between rooms of one layer: a sweep is recorded, and follows its cluster."""

MAY_IMPORT_RAY = {"sweep", "cluster", "cli", "data/cache.py", "data/stream.py"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def depth(name: str) -> int | None:
    return next((depth for depth, rooms in enumerate(LAYERS) if name in rooms), None)


def named(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", modules(), ids=named)
def test_imports_run_one_way(path: Path) -> None:
    own = depth(room(path))
    if own is None:
        return
    for module in imports(path):
        parts = module.split(".")
        other = depth(parts[1]) if parts[0] == "trainyard" and len(parts) > 1 else None
        if other is not None and parts[1] != room(path):
            assert other > own or (room(path), parts[1]) in SIDEWAYS, f"{named(path)} imports {module}"


@pytest.mark.parametrize("path", modules(), ids=named)
def test_only_some_rooms_import_ray(path: Path) -> None:
    if room(path) in MAY_IMPORT_RAY or named(path) in MAY_IMPORT_RAY:
        return
    assert not [module for module in imports(path) if module.split(".")[0] == "ray"], named(path)


@pytest.mark.parametrize("path", [path for path in modules() if room(path) == "spec"], ids=named)
def test_specs_need_none_of_the_large_libraries(path: Path) -> None:
    assert not {module.split(".")[0] for module in imports(path)} & {
        "torch",
        "ray",
        "optuna",
        "mlflow",
        "pandas",
        "numpy",
    }


def test_platform_is_no_package_of_its_own() -> None:
    assert not (PACKAGE.parent / "__init__.py").exists(), "it would shadow Python's own module platform"
