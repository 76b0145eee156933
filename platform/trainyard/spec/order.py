"""An order in which everything comes after what it needs."""

from collections.abc import Iterable, Mapping


class CycleError(ValueError):
    """Things that need each other. cycle: their names, the first once more at the end."""

    def __init__(self, cycle: tuple[str, ...]) -> None:
        self.cycle = cycle
        super().__init__(" -> ".join(cycle))


def in_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """The names in their given order, but each after those that it needs. Raises CycleError."""
    ordered: list[str] = []

    def visit(name: str, waiting: tuple[str, ...]) -> None:
        if name in waiting:
            raise CycleError((*waiting[waiting.index(name) :], name))
        for needed in needs[name]:
            if needed not in ordered:
                visit(needed, (*waiting, name))
        if name not in ordered:
            ordered.append(name)

    for name in needs:
        visit(name, ())
    return ordered
