"""Quantile tables hold the quantiles that the closed forms, or published tables, give."""

from __future__ import annotations

import math

import pytest

from dovestorm.scenario import quantiles

LAST = 1 - 1 / 4096


def test_every_table_has_1025_ascending_integers():
    tables = [
        quantiles.lognormal(300.0, 2000.0, 0.9),
        quantiles.exponential(2e6),
        quantiles.gamma(2e6, 2.0),
        quantiles.pareto(1024.0, 1.3),
        quantiles.uniform(1.0, 10.0),
        quantiles.measured((0.0, 1.0), (5.0, 50.0)),
        quantiles.fixed(7),
    ]
    for table in tables:
        assert len(table) == 1025
        assert all(isinstance(value, int) for value in table)
        assert list(table) == sorted(table)


def test_lognormal_goes_through_its_median_and_its_p90():
    table = quantiles.lognormal(300_000.0, 2_000_000.0, 0.9)
    assert table[512] == 300_000
    # p90 lies between entries 921 and 922 (0.9 * 1024 = 921.6).
    assert table[921] <= 2_000_000 <= table[922]
    # Symmetric in logarithms, the cut ends included.
    for low in (0, 1, 100, 400):
        assert math.isclose(table[low] * table[1024 - low], 300_000.0**2, rel_tol=1e-2)
    assert math.log(table[1024] / 300_000) / math.log(2_000_000 / 300_000) == pytest.approx(3.4878 / 1.28155, rel=1e-3)


def test_p99_gives_a_narrower_lognormal_than_p90():
    assert quantiles.lognormal(300.0, 2000.0, 0.99)[1024] < quantiles.lognormal(300.0, 2000.0, 0.9)[1024]


def test_exponential_and_pareto_follow_their_closed_forms():
    exponential = quantiles.exponential(2e6)
    assert exponential[512] == round(2e6 * math.log(2))
    assert exponential[1024] == round(-2e6 * math.log(1 - LAST))
    pareto = quantiles.pareto(1e6, 1.3)
    assert pareto[768] == round(1e6 * 4 ** (1 / 1.3))
    assert pareto[1024] == round(1e6 * 4096 ** (1 / 1.3))


def test_uniform_and_measured_reach_their_ends():
    assert quantiles.uniform(0.0, 1024.0) == tuple(range(1025))
    table = quantiles.measured((0.0, 0.5, 0.9, 1.0), (0.0, 512.0, 1000.0, 60_000.0))
    assert table[0] == 0
    assert table[512] == 512
    assert table[256] == 256
    assert table[1024] == 60_000


@pytest.mark.parametrize(
    ("shape", "chance", "value"),
    # The chi-squared table for 1, 4 and 20 degrees of freedom, halved: gamma of shape degrees / 2 and scale 1.
    [(0.5, 0.5, 0.454936 / 2), (2.0, 0.5, 3.356694 / 2), (10.0, 0.5, 19.337429 / 2), (2.0, 0.25, 1.922558 / 2), (10.0, 0.75, 23.827692 / 2)],
)
def test_gamma_agrees_with_the_chi_squared_table(shape, chance, value):
    scale = 1e9
    table = quantiles.gamma(shape * scale, shape)
    assert table[round(chance * 1024)] == pytest.approx(value * scale, rel=1e-6)


def test_gamma_of_shape_one_is_exponential():
    assert max(abs(a - b) for a, b in zip(quantiles.gamma(2e6, 1.0), quantiles.exponential(2e6), strict=True)) <= 1


@pytest.mark.parametrize("shape", [0.01, 0.3, 1.0, 1.5, 7.0, 60.0, 1000.0])
def test_gamma_keeps_its_mean(shape):
    """The table's own mean misses only what lies beyond the cut: below 3 % for shapes from 1 on, and the table ascends whatever the shape."""
    table = quantiles.gamma(1e9, shape)
    assert list(table) == sorted(table)
    if shape >= 1:
        mean = (sum(table) - (table[0] + table[-1]) / 2) / 1024
        assert mean == pytest.approx(1e9, rel=0.03)


def test_bounds_cut_off():
    table = quantiles.pareto(1024.0, 0.5, 2000.0, 9000.0)
    assert table[0] == 2000
    assert table[1024] == 9000
    assert quantiles.pareto(1.0, 0.01, -math.inf, 1e6)[1024] == 1_000_000


@pytest.mark.parametrize(
    "call",
    [
        lambda: quantiles.lognormal(0.0, 1.0, 0.9),
        lambda: quantiles.lognormal(3.0, 2.0, 0.9),
        lambda: quantiles.exponential(-1.0),
        lambda: quantiles.gamma(0.0, 1.0),
        lambda: quantiles.pareto(0.0, 1.0),
        lambda: quantiles.pareto(1.0, 0.01),
        lambda: quantiles.uniform(2.0, 1.0),
        lambda: quantiles.measured((0.0,), (1.0,)),
        lambda: quantiles.measured((0.0, 1.0), (2.0, 1.0)),
        lambda: quantiles.measured((0.0, 0.9), (1.0, 2.0)),
    ],
)
def test_impossible_parameters_are_refused(call):
    with pytest.raises(ValueError, match=r"need|bound"):
        call()
