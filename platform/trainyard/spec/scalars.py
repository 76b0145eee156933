"""What plain YAML text means (YAML 1.2 core schema), and how values are written back in messages and files."""

import json
import math
import re
from typing import Any

Scalar = None | bool | int | float | str

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_INT = re.compile(r"[-+]?[0-9]{1,400}")
_BASED = re.compile(r"0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

_PLAIN_SAFE = re.compile(r"[A-Za-z0-9_.+-]([A-Za-z0-9_./+:-]*[A-Za-z0-9_./+-])?")
_YAML_1_1_BOOLEANS = frozenset({"y", "n", "yes", "no", "on", "off"})


def read_plain(text: str) -> Scalar:
    """The value of unquoted text: `1e-4` is a number, `yes` and `on` are text, `0o17` and `0x1f` are whole numbers."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def write(value: Any) -> str:
    """A value as YAML on one line, which reads back as the same value."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{write(name)}: {write(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(write, value)) + "]"
    if isinstance(value, str):
        return _write_text(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _write_float(value)
    return str(value)


def show(value: Any, *, longest: int = 60) -> str:
    """A value for a message: text in quotes, cut off where it is long."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else write(value)
    return text if len(text) <= longest else text[: longest - 3] + "..."


def number(value: float) -> str:
    """A number for a message, without the noise of floats: 1.0 as 1."""
    return f"{value:.12g}"


def _write_text(text: str) -> str:
    ambiguous = read_plain(text) != text or text.lower() in _YAML_1_1_BOOLEANS or text.startswith("-")
    if _PLAIN_SAFE.fullmatch(text) and not ambiguous:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    # JSON leaves these as they are; in YAML they are line breaks or no printable characters.
    return re.sub("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", lambda found: f"\\u{ord(found[0]):04x}", quoted)


def _write_float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    return repr(value)
