"""Names and values as MLflow takes them, and back.

MLflow 3.17 refuses names with other characters than letters, digits and `_-./: `, names that a file system would read
as another path, and names over 250 characters; it stores 6,000 characters of a parameter and 8,000 of a tag
(`mlflow.utils.validation`).
"""

import json
import math
import posixpath
import re
from functools import lru_cache
from hashlib import sha256
from typing import Any

PARAMETER_LENGTH = 6000
TAG_LENGTH = 8000
_NAME_LENGTH = 250
_LARGEST = 1.7976931348623157e308


@lru_cache(maxsize=4096)
def allowed(name: str) -> str:
    """The name, if MLflow takes it; else one much like it, and different ones for different names."""
    clean = re.sub(r"[^\w/.\-: ]", "_", name, flags=re.ASCII)
    if posixpath.normpath(clean) != clean or clean.startswith(("/", "..")) or clean == ".":
        clean = "/".join("_" if part in ("", ".") else part.replace("..", "__") for part in clean.split("/"))
    if clean == name and len(name) <= _NAME_LENGTH:
        return name
    digest = sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{clean[: _NAME_LENGTH - 9]}-{digest}"


def text(value: Any, length: int) -> str:
    """A setting as text that an override takes back: `true`, `null`, `0.0003`, `[32, 64]`, `adamw`; cut off if long."""
    written = value if isinstance(value, str) else json.dumps(value, default=str)
    # PostgreSQL stores no NUL, and would refuse all that is sent with it.
    written = written.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    return written if len(written) <= length else f"{written[: length - 1]}…"


def value_of(written: str) -> Any:
    """The setting that `text` wrote."""
    try:
        return json.loads(written)
    except ValueError:
        return written


def number(value: float) -> float:
    """A metric as MLflow stores it: the largest float for infinity (its SQL stores have no other), NaN as it is."""
    try:
        value = float(value)
    except OverflowError:
        value = math.inf if value > 0 else -math.inf
    return math.copysign(_LARGEST, value) if math.isinf(value) else value


def number_of(stored: float) -> float:
    """The metric that `number` made storable."""
    return math.copysign(math.inf, stored) if abs(stored) >= _LARGEST else stored
