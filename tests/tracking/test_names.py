import math
import re

import pytest

from trainyard.tracking.names import allowed, number, number_of, text, value_of

ODD = [
    "val/top 5?",
    "größe",
    "a//b",
    "/root",
    "../up",
    "a/./b",
    ".",
    "",
    "a\nb",
    "x" * 300,
    "loss/",
    "..",
    "a,b;c",
    "a/..",
]


@pytest.mark.parametrize("name", ["optimizer.lr", "val/accuracy", "train/loss/cross_entropy", "a:b c-d_e"])
def test_a_good_name_stays(name: str) -> None:
    assert allowed(name) == name


@pytest.mark.parametrize("name", ODD)
def test_an_odd_name_becomes_one_that_mlflow_takes(name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    _validate_metric_name(allowed(name))
    assert len(allowed(name)) <= 250


def test_different_names_stay_different() -> None:
    names = [*ODD, "a?b", "a!b", "a_b", "x" * 299]
    assert len({allowed(name) for name in names}) == len(names)


@pytest.mark.parametrize("value", [True, False, None, 3, 3e-4, "adamw", [32, 64], [], ["a", 1.5], "", "ö"])
def test_a_setting_is_read_back(value: object) -> None:
    assert value_of(text(value, 100)) == value


def test_settings_are_written_as_overrides_are() -> None:
    assert [text(value, 100) for value in (True, None, 3e-4, [480, 640], "adamw")] == [
        "true",
        "null",
        "0.0003",
        "[480, 640]",
        "adamw",
    ]


def test_a_long_setting_is_cut_off() -> None:
    assert text("x" * 7000, 6000) == "x" * 5999 + "…"


def test_text_that_is_no_unicode_is_made_so() -> None:
    assert text("bad \ud800 text", 100) == "bad ? text"


def test_no_text_has_a_nul_which_postgresql_refuses() -> None:
    assert text("error\0at 0", 100) == "error\ufffdat 0"
    assert text(["a\0"], 100) == '["a\\u0000"]'


@pytest.mark.parametrize("value", [0.0, -1.5, math.inf, -math.inf])
def test_a_metric_is_read_back(value: float) -> None:
    assert math.isfinite(number(value))
    assert number_of(number(value)) == value


def test_nan_stays_nan() -> None:
    assert math.isnan(number_of(number(math.nan)))


def test_a_whole_number_beyond_floats_is_infinite() -> None:
    assert number_of(number(10**400)) == math.inf


def test_an_odd_name_keeps_what_can_be_kept() -> None:
    assert re.fullmatch("val/top 5_-[0-9a-f]{8}", allowed("val/top 5?"))
