"""Intervals are right, pairing is by seed, and a claim cannot pass by accident."""

import myst_nb
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from regbook.claims import ClaimFailed, Interval, claim, glue, mean_interval, paired

VALUES = np.random.default_rng(0).normal(3, 2, size=12)


def frame(**methods):
    """Return what a sweep returns: one row per method and seed."""
    return pd.concat(
        pd.DataFrame({"method": name, "seed": range(len(values)), "test": values})
        for name, values in methods.items()
    )


@pytest.mark.parametrize("seeds", [2, 5, 12])
def test_interval_is_student_t(seeds):
    interval = mean_interval(VALUES[:seeds])
    oracle = stats.ttest_1samp(VALUES[:seeds], 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((oracle.low, oracle.high), rel=1e-12)
    assert interval.mean == pytest.approx(VALUES[:seeds].mean(), rel=1e-12)
    assert interval.seeds == seeds


def test_interval_covers_the_mean_95_times_in_100():
    draws = np.random.default_rng(1).normal(7, 3, size=(2000, 10))
    covered = [i.low < 7 < i.high for i in map(mean_interval, draws)]
    error = np.sqrt(0.95 * 0.05 / len(covered))
    assert np.mean(covered) == pytest.approx(0.95, abs=3 * error)


@pytest.mark.parametrize("values", [[1.0], [], [1.0, np.nan], [1.0, np.inf], np.ones((2, 2)), 3.0])
def test_interval_refuses_what_has_none(values):
    with pytest.raises(ValueError, match="one finite number per seed"):
        mean_interval(values)


def test_pairing_is_by_seed_and_not_by_row():
    rng = np.random.default_rng(2)
    shared = rng.normal(0, 100, size=10)
    gain = rng.normal(1, 0.1, size=10)
    ordered = frame(none=shared, L2=shared + gain)
    shuffled = ordered.sample(frac=1, random_state=3)
    assert paired(shuffled, "test", "L2", "none") == mean_interval(shared + gain - shared)
    assert paired(shuffled, "test", "none", "L2").mean == pytest.approx(-gain.mean())


def test_pairing_names_the_methods_it_has():
    with pytest.raises(KeyError, match=r"no method 'l2' in this sweep; it has \['L2', 'none'\]"):
        paired(frame(none=VALUES, L2=VALUES), "test", "l2", "none")


def test_pairing_refuses_different_seeds():
    moved = frame(none=VALUES, L2=VALUES)
    moved.loc[moved.method == "L2", "seed"] += 1
    for uneven in (frame(none=VALUES, L2=VALUES[:-1]), moved):
        with pytest.raises(ValueError, match="different seeds"):
            paired(uneven, "test", "L2", "none")


def test_pairing_refuses_a_seed_that_counts_twice():
    once = frame(none=VALUES, L2=VALUES + 1)
    with pytest.raises(ValueError, match="seed twice"):
        paired(pd.concat([once, once]), "test", "L2", "none")


INTERVAL = Interval(mean=2.0, low=1.0, high=3.0, seeds=12)


@pytest.mark.parametrize(
    ("evidence", "holds"),
    [
        (INTERVAL > 0.99, True),
        (INTERVAL > 1, False),  # the mean is above, the interval is not
        (INTERVAL < 3.01, True),
        (INTERVAL < 3, False),
        (INTERVAL.within(0.99, 3.01), True),
        (INTERVAL.within(0.99, 3), False),
        (INTERVAL.within(1, 3.01), False),
        (INTERVAL.within(np.nan, 5), False),
        (True, True),
        (np.True_, True),
        (np.bool_(False), False),
        (False, False),
    ],
)
def test_claim_holds_only_when_the_whole_interval_does(evidence, holds, capsys):
    if holds:
        claim("L2 helps", evidence)
        assert capsys.readouterr().out.startswith("Claim holds: L2 helps")
    else:
        with pytest.raises(ClaimFailed, match=r"^L2 helps: "):
            claim("L2 helps", evidence)
        assert capsys.readouterr().out == ""


def test_failed_claim_says_what_was_measured():
    with pytest.raises(ClaimFailed, match=r"above 5, measured \+2.00 \[\+1.00, \+3.00\] over 12"):
        claim("L2 helps", INTERVAL > 5)


def test_printed_line_holds_no_measured_number(capsys):
    for mean, low, high in [(2.1, 1.1, 3.1), (4.7, 1.9, 7.5)]:
        claim("L2 helps", Interval(mean, low, high, 12) > 0)
    first, second = capsys.readouterr().out.splitlines()
    assert first == second == "Claim holds: L2 helps (95 % interval above 0, 12 seeds)"


def test_claim_about_an_average_needs_ten_seeds(capsys):
    with pytest.raises(ValueError, match="needs 10 seeds, this one has 9: L2 helps"):
        claim("L2 helps", mean_interval(VALUES[:9] + 100) > 0)
    claim("L2 helps", mean_interval(VALUES[:10] + 100) > 0)
    assert "10 seeds" in capsys.readouterr().out


@pytest.mark.parametrize("evidence", [1.5, np.float64(2), 1, "yes", None, INTERVAL, np.ones(2) > 0])
def test_claim_refuses_evidence_that_would_always_be_true(evidence):
    with pytest.raises(TypeError, match="the evidence of a claim is"):
        claim("L2 helps", evidence)


@pytest.mark.parametrize("building", [True, False])
def test_glue_hands_floats_to_the_prose_and_prints_them_only_in_jupyter(
    building, monkeypatch, capsys
):
    handed = {}
    monkeypatch.setattr(myst_nb, "glue", lambda name, value, display: handed.update({name: value}))
    monkeypatch.delenv("REGBOOK_BUILD", raising=False)
    if building:
        monkeypatch.setenv("REGBOOK_BUILD", "1")
    glue(size=np.float32(2), gain=mean_interval([1.0, 2.0, 3.0]))
    assert set(handed) == {"size", "gain", "gain_low", "gain_high"}
    assert {type(value) for value in handed.values()} == {float}
    assert handed["gain_low"] < handed["gain"] == 2 < handed["gain_high"]
    printed = capsys.readouterr().out
    assert printed == "" if building else printed.startswith("size = 2\ngain = 2\n")
