"""When an axis is logarithmic."""

from collections.abc import Sequence

ORDERS = 100.0
"""Ratio of the largest to the smallest value from which on it is."""


def logarithmic(metric: str, objectives: Sequence[tuple[str, str]], values: Sequence[float]) -> bool:
    """Whether a linear axis would show only the largest of these values of a metric of which less is better.

    A share of right answers may span orders, too, but one looks at its upper end. Zeros have no logarithm and are left
    aside.
    """
    falls = (metric, "min") in objectives or "loss" in metric or metric.startswith("gradients/")
    positive = [value for value in values if value > 0]
    return falls and bool(positive) and min(values) >= 0 and max(positive) / min(positive) >= ORDERS
