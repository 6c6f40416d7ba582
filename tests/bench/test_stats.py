"""Ratios of the benchmark, their intervals and verdicts."""

import random

import pytest
from bench.plot import svg
from bench.report import Check, Section, page, restored, table
from bench.stats import Ratio, interval, ratio


def test_a_ratio_is_the_median_of_the_pairs_not_of_the_sides():
    found = ratio([1.0, 20.0, 3.0], [2.0, 10.0, 1.0])
    assert (found.median, found.pairs) == (2.0, 3)
    assert found.low == 0.5
    assert found.high == 3.0


def test_series_of_different_lengths_are_an_error():
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])


def test_the_interval_holds_the_median_and_shrinks_with_the_spread():
    rng = random.Random(3)
    wide = interval([rng.gauss(10, 2) for _ in range(11)])
    narrow = interval([rng.gauss(10, 0.2) for _ in range(11)])
    assert wide.low < wide.median < wide.high
    assert narrow.high - narrow.low < (wide.high - wide.low) / 3
    assert interval([5.0] * 4) == Ratio(5.0, 5.0, 5.0, 4)


@pytest.mark.parametrize(
    ("bound", "most", "least"),
    [
        (0.5, "not met", "met"),
        (0.9, "not resolved", "met"),
        (1.0, "not resolved", "not resolved"),
        (1.1, "met", "not resolved"),
        (2.0, "met", "not met"),
    ],
)
def test_a_verdict_needs_the_whole_interval_on_one_side(bound, most, least):
    found = Ratio(1.0, 0.9, 1.1, 11)
    assert found.at_most(bound) == most
    assert found.at_least(bound) == least


def section() -> Section:
    checks = [
        Check("ours / bare", Ratio(2.0, 1.9, 2.1, 11), 1.6),
        Check("speed", Ratio(3.0, 2.9, 3.1, 11), 2.0, least=True),
    ]
    return Section("Text & more", ["server", "us"], [["ours", 123.4], ["bare", 1.234]], checks, unit="us",
                   bars={"ours": 123.4, "bare": 1.234})  # fmt: skip


def test_a_section_survives_its_record():
    assert restored(section().recorded()) == section()
    assert [one["verdict"] for one in section().recorded()["checks"]] == ["not met", "met"]


def test_the_page_and_the_plot_show_every_figure():
    record = {"when": "now", "python": "3.11", "rounds": 11, **section().recorded()}
    assert "| bare | 1.23 |" in table(section())
    assert "| ours / bare | 2 (1.9 to 2.1) | <= 1.6 | not met |" in page({"case": record})
    drawn = svg({"case": record, "empty": {**record, "bars": {}}})
    assert drawn.count("<rect") == 3  # the ground and two bars
    assert "Text &amp; more (us)" in drawn
