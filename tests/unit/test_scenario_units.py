"""Numbers with units, rates, times, networks and version guards: what is read, and what is refused."""

from __future__ import annotations

from fractions import Fraction

import pytest

from dovestorm.scenario import units


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("12", "", 12),
        ("300us", "duration", 300),
        ("2ms", "duration", 2_000),
        ("1.5s", "duration", 1_500_000),
        ("2min", "", 120_000_000),
        ("1h", "duration", 3_600_000_000),
        ("1d", "duration", 86_400_000_000),
        ("5s", "seconds", 5),
        ("1500ms", "seconds", Fraction(3, 2)),
        ("10B", "size", 10),
        ("2KiB", "size", 2048),
        ("3MiB", "", 3 << 20),
        ("1kB", "size", 1000),
        ("-5ms", "duration", -5_000),
        ("0.1us", "duration", Fraction(1, 10)),
    ],
)
def test_numbers_are_exact_in_their_base_unit(text, unit, value):
    assert units.number(text, unit=unit) == value


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("", ""),
        ("s", ""),
        ("1 day", ""),
        ("2KiB", "duration"),
        ("2ms", "size"),
        ("3s", "count"),
        ("1e9", ""),
        ("9" * 19 + "d", ""),
        ("\uff11", ""),
        ("1s ", ""),
    ],
)
def test_other_numbers_are_refused(text, unit):
    with pytest.raises(ValueError, match=r"written like|needed"):
        units.number(text, unit=unit)


def test_rates_are_per_second():
    assert [units.rate(text) for text in ("40/s", "30/min", "36/h", "86400/d", "0.5 / s")] == [40.0, 0.5, 0.01, 1.0, 0.5]
    for wrong in ("40", "40/ms", "0/s", "-1/s", "99999999999/s", "/s"):
        with pytest.raises(ValueError, match="a rate"):
            units.rate(wrong)


def test_instants_are_utc():
    assert units.instant("1970-01-01T00:00:01Z") == 1_000_000
    assert units.instant("2026-03-02T06:00:00.25Z") == units.instant("2026-03-02 06:00:00.250+00:00") == 1_772_431_200_250_000
    for wrong in ("2026-03-02", "2026-03-02T06:00:00", "2026-03-02T06:00:00+01:00", "2026-02-30T00:00:00Z", "1969-12-31T23:59:59Z", "today"):
        with pytest.raises(ValueError, match="a timestamp"):
            units.instant(wrong)


def test_moments_count_from_the_start_or_its_midnight():
    start = units.instant("2026-03-02T06:00:00Z")
    hour = 3_600_000_000
    assert units.moment("+2h", start=start) == start + 2 * hour
    assert units.moment("10:30", start=start) == start + 4 * hour + hour // 2
    assert units.moment("05:00:30", start=start) == start - hour + 30_000_000
    assert units.moment("2026-03-03T00:00:00Z", start=start) == start + 18 * hour
    with pytest.raises(ValueError, match="a moment"):
        units.moment("noon", start=start)


def test_weeks_begin_on_monday():
    assert units.time_of_week("mon 00:00") == 0
    assert units.time_of_week("Sun 23:59:59") == units.WEEK - 1_000_000
    for wrong in ("monday 08:00", "mon", "08:00", "mon 24:00"):
        with pytest.raises(ValueError, match="a time of"):
            units.time_of_week(wrong)


def test_networks():
    assert units.network("10.0.0.0/8") == (0x0A000000, 1 << 24)
    assert units.network("192.0.2.1") == (0xC0000201, 1)
    with pytest.raises(ValueError, match=r"own address is 10\.0\.0\.0/8"):
        units.network("10.0.0.1/8")
    with pytest.raises(ValueError, match="IPv4"):
        units.network("2001:db8::/32")


@pytest.mark.parametrize(
    ("guard", "holding"),
    [
        ("2.3.6", {"2.3.6"}),
        ("2.4", {"2.4.0"}),
        ("<2.3.19", {"2.3.6", "2.3.9"}),
        (">=2.3.9", {"2.3.9", "2.3.19", "2.4.0"}),
        (">=2.3.7 <2.4", {"2.3.9", "2.3.19"}),
        ("> 2.3.6 <= 2.3.19", {"2.3.9", "2.3.19"}),
    ],
)
def test_version_guards_compare_numbers_not_texts(guard, holding):
    assert {version for version in ("2.3.6", "2.3.9", "2.3.19", "2.4.0") if units.version_matches(guard, version)} == holding


@pytest.mark.parametrize("guard", ["", "2", "latest", ">=", ">=2.3.x", "2.3.6,2.4.0"])
def test_other_guards_are_refused(guard):
    with pytest.raises(ValueError, match="a version guard"):
        units.version_matches(guard, "2.3.6")


def test_a_stretch_names_its_unit():
    assert units.stretch("10s") == 10_000_000
    assert units.stretch("0") == 0
    with pytest.raises(ValueError, match="the unit is missing: 10s for seconds"):
        units.stretch("10")
