"""Plain text as YAML 1.2 reads it, and values written so that they read back."""

import math
import random
from typing import Any

import pytest

from trainyard.spec.scalars import read_plain, show, write
from trainyard.spec.yaml_reader import read_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E4", 1e4),
        (".5e3", 500.0),
        ("1.", 1.0),
        ("-0.5", -0.5),
        ("012", 12),
        ("+7", 7),
        ("0o17", 15),
        ("0x1F", 31),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
    ],
)
def test_numbers_and_words_of_the_core_schema(text: str, value: Any) -> None:
    read = read_plain(text)

    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    "text", ["yes", "no", "on", "off", "y", "1_000", "0b1", "12:30", "1e", ".", "e5", "tRue", "none", "2001-01-01"]
)
def test_everything_else_is_text(text: str) -> None:
    assert read_plain(text) == text


def random_value(generator: random.Random, depth: int = 0) -> Any:
    kind = generator.randrange(8 if depth < 3 else 6)
    if kind == 6:
        return [random_value(generator, depth + 1) for _ in range(generator.randrange(3))]
    if kind == 7:
        return {random_text(generator): random_value(generator, depth + 1) for _ in range(generator.randrange(3))}
    numbers = [
        generator.randrange(-(10**12), 10**12),
        generator.uniform(-1, 1) * 10.0 ** generator.randrange(-300, 300),
    ]
    return generator.choice([None, True, False, *numbers, random_text(generator)])


def random_text(generator: random.Random) -> str:
    parts = [
        "a",
        "Z",
        "0",
        "1e5",
        "-",
        ".",
        ":",
        ": ",
        " ",
        "#",
        " #",
        "'",
        '"',
        "\\",
        "{",
        "[",
        ",",
        "&",
        "*",
        "!",
        "%",
        "@",
        "\n",
    ]
    parts += ["yes", "null", "true", "~", "<<", "\t", "é", "\u2028", "\x85", "\ufeff", "😀", "\x00", "\x7f"]
    return "".join(generator.choice(parts) for _ in range(generator.randrange(5)))


def test_written_values_read_back() -> None:
    generator = random.Random(0)
    for _ in range(1000):
        value = {"value": random_value(generator)}
        assert read_value(write(value)) == value, write(value)


def test_long_values_are_cut_off_in_messages() -> None:
    assert show("x" * 100) == '"' + "x" * 56 + "..."
