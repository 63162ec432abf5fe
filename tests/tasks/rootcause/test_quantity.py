"""Numbers and units as factories write them."""

from __future__ import annotations

import pytest

from edgechat.tasks.rootcause.quantity import in_unit, plain, quantities, uses_decimal_comma, without_times


def found(text: str) -> list[tuple[float, str]]:
    line = without_times(plain(text))
    return [(one.value, one.unit) for one in quantities(line, decimal_comma=uses_decimal_comma(line))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0,19 %", [(0.19, "%")]),
        ("1.250,00 N", [(1250.0, "N")]),
        ("1,250.00 N", [(1250.0, "N")]),
        ("1,940 parts", [(1940.0, "")]),
        ("gap 5½ mm", [(5.5, "mm")]),
        ("½ bar", [(0.5, "bar")]),
        ("\uff12\uff15\uff0e\uff15 ℃", [(25.5, "°C")]),
        ("2.1e-5 mbar", [(2.1e-5, "mbar")]),
        ("-82 kPa", [(-82.0, "kPa")]),
        ("\u221282 kPa", [(-82.0, "kPa")]),
        ("24.6 N·m", [(24.6, "N·m")]),
        ("9.8 kJ/m²", [(9.8, "kJ/m2")]),
        ("I=8.1kA", [(8.1, "kA")]),
        ("加硫時間480秒", [(480.0, "秒")]),
        ("5 min, 3 ml/min", [(5.0, "min"), (3.0, "ml/min")]),
    ],
)
def test_a_number_is_read_with_its_unit(text, expected):
    assert found(text) == expected


@pytest.mark.parametrize(
    "text", ["SP-0932", "X4.3-X4.4", "HEAD3", "zone7", "E-0312", "O2201", "13:58:02", "2026-04-14 06:20"]
)
def test_identifiers_times_and_dates_are_no_quantities(text):
    assert found(f"{text} done") == []


def test_an_ambiguous_number_follows_the_other_numbers_of_its_line():
    assert found("load 1,250 N, max 1,300 N")[0][0] == 1250.0
    assert found("load 1,250 N, offset 0,5 N")[0][0] == 1.25


@pytest.mark.parametrize(
    ("value", "unit", "wanted", "expected"),
    [
        (310.0, "µm", "mm", 0.31),
        (0.31, "mm", "um", 310.0),
        (1.2, "bar", "kPa", 120.0),
        (0.5, "MPa", "bar", 5.0),
        (0.5, "兆帕", "MPa", 0.5),
        (212.0, "°F", "°C", 100.0),
        (2.0, "min", "s", 120.0),
        (1500.0, "ms", "s", 1.5),
        (500.0, "g", "kg", 0.5),
        (3.0, "", "mm", 3.0),
        (24.6, "N·m", "Nm", 24.6),
        (600.0, "ml/min", "l/min", 0.6),
        (3.0, "mm", "bar", None),
        (3.0, "widgets", "mm", None),
    ],
)
def test_units_are_converted_only_where_that_is_plain(value, unit, wanted, expected):
    converted = in_unit(value, unit, wanted)
    assert converted == (None if expected is None else pytest.approx(expected))


def test_a_difference_of_temperatures_has_no_zero_point():
    assert in_unit(9.0, "°F", "°C", is_difference=True) == pytest.approx(5.0)
