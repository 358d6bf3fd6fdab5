"""Intervals are right, pairing is by seed, and a claim cannot pass by accident."""

import myst_nb
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from regbook.claims import (
    ClaimFailed,
    Interval,
    bootstrap_interval,
    claim,
    corrected_interval,
    glue,
    holm,
    mean_interval,
    median_interval,
    paired,
    wilson_interval,
)

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
    assert (interval.n, interval.replicates) == (seeds, "seeds")


WORLDS = 2000


def coverage(interval, draws, truth):
    """Return in what share of the worlds the interval of one world's draws holds the truth."""
    return np.mean([i.low <= truth <= i.high for i in map(interval, draws)])


def near(share):
    """Return the band of three binomial standard errors around a share of the worlds."""
    return pytest.approx(share, abs=3 * np.sqrt(share * (1 - share) / WORLDS))


def quick(values, statistic=np.mean):
    """Return the bootstrap interval from half the usual resamples, as 2,000 worlds take long."""
    return bootstrap_interval(values, statistic, resamples=1000)


def worlds(*shape):
    return np.random.default_rng(1), (WORLDS, *shape)


def test_interval_covers_the_mean_95_times_in_100():
    rng, shape = worlds(10)
    assert coverage(mean_interval, rng.normal(7, 3, shape), 7) == near(0.95)


@pytest.mark.parametrize(("n", "share"), [(10, 0.90), (60, 0.94)])
def test_bootstrap_covers_the_mean_of_many_rows_and_too_seldom_that_of_ten(n, share):
    """It reaches 95 % as the rows grow many; of ten it must not be taken for 95 %."""
    rng, shape = worlds(n)
    assert coverage(quick, rng.normal(7, 3, shape), 7) == near(share)


def test_bootstrap_covers_a_root_mean_square():
    def rms(values, axis=-1):
        return np.sqrt(np.mean(values**2, axis=axis))

    rng, shape = worlds(60)
    assert coverage(lambda v: quick(v, rms), rng.normal(0, 2, shape), 2) == near(0.94)


@pytest.mark.parametrize(("n", "share"), [(10, 0.9785), (20, 0.9586), (41, 0.9725)])
def test_median_interval_covers_as_often_as_the_binomial_law_says(n, share):
    """Of a Cauchy distribution, whose mean no interval could cover."""
    inside = stats.binom.cdf(np.arange(n // 2), n, 0.5)
    at = np.flatnonzero(2 * inside <= 0.05).max()
    assert 1 - 2 * inside[at] == pytest.approx(share, abs=1e-4)
    rng, shape = worlds(n)
    assert coverage(median_interval, 3 + rng.standard_cauchy(shape), 3) == near(share)


@pytest.mark.parametrize(("n", "p"), [(50, 0.98), (200, 0.98), (500, 0.02), (100, 0.5)])
def test_wilson_covers_as_often_as_its_score_test_accepts(n, p):
    """The share is 92 to 97 %: a count has too few values for 95 %."""
    k = np.arange(n + 1)
    accepted = abs(k / n - p) <= 1.959964 * np.sqrt(p * (1 - p) / n)
    share = stats.binom.pmf(k, n, p)[accepted].sum()
    assert 0.92 < share < 0.97
    rng, shape = worlds()
    hits = rng.binomial(n, p, shape)
    assert coverage(lambda k: wilson_interval(k, n), hits, 100 * p) == near(share)


def test_the_plain_interval_of_a_proportion_fails_near_an_end():
    """Which is why there is Wilson's: the simulation can tell the two apart."""

    def wald(k):
        half = 1.96 * np.sqrt(k / 50 * (1 - k / 50) / 50)
        return Interval(k / 50, k / 50 - half, k / 50 + half, 50)

    rng, shape = worlds()
    assert coverage(wald, rng.binomial(50, 0.98, shape), 0.98) < 0.7


def test_corrected_interval_covers_where_training_sets_overlap_and_the_plain_one_fails():
    """Ten splits of one table: their errors correlate as the correction assumes."""
    rng, shape = worlds(10)
    share = 30 / (30 + 90)
    draws = np.sqrt(share) * rng.normal(size=(WORLDS, 1)) + np.sqrt(1 - share) * rng.normal(
        size=shape
    )
    assert coverage(lambda v: corrected_interval(v, 90, 30), draws, 0) == near(0.95)
    assert coverage(mean_interval, draws, 0) < 0.8


def test_corrected_interval_is_the_formula():
    found, plain = corrected_interval(VALUES, 90, 30), mean_interval(VALUES)
    wider = np.sqrt(1 + len(VALUES) * 30 / 90)
    assert found.high - found.low == pytest.approx(wider * (plain.high - plain.low))
    assert (found.mean, found.n, found.replicates) == (plain.mean, 12, "splits")


@pytest.mark.parametrize(("successes", "n"), [(0, 20), (7, 20), (20, 20), (1, 1)])
def test_wilson_is_the_solution_of_its_quadratic(successes, n):
    """Its bounds are the proportions that lie 1.96 of their own standard errors away."""
    found, seen = wilson_interval(successes, n), successes / n
    for p in (found.low / 100, found.high / 100):
        assert abs(seen - p) == pytest.approx(1.959964 * np.sqrt(p * (1 - p) / n), abs=1e-6)
    assert found.mean == 100 * seen
    assert (found.n, found.replicates) == (n, "rows")


@pytest.mark.parametrize(
    ("successes", "n"), [(-1, 10), (11, 10), (0, 0), (1.5, 10), (3, 9.5), (np.nan, 9), (1, np.inf)]
)
def test_wilson_refuses_what_is_no_proportion(successes, n):
    with pytest.raises(ValueError, match="successes of n > 0 trials"):
        wilson_interval(successes, n)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("values", "statistic"),
    [
        (np.ones(20), np.mean),
        ([0] * 15 + [1] * 2, np.median),
        ([0] * 15 + [1] * 2, lambda values: np.median(values)),
    ],
)
def test_bootstrap_of_a_statistic_without_spread_is_a_point(values, statistic):
    found = bootstrap_interval(values, statistic)
    assert found.low == found.mean == found.high == statistic(values)


def test_bootstrap_is_the_same_every_time_and_follows_its_statistic():
    assert bootstrap_interval(VALUES) == bootstrap_interval(VALUES)
    assert bootstrap_interval(VALUES, np.median).mean == np.median(VALUES)


@pytest.mark.parametrize("replicates", ["fresh splits", "blocks"])
def test_the_replicate_has_a_name(replicates, capsys):
    twice = frame(none=VALUES, L2=VALUES + 100 + np.arange(12))
    for interval in (
        mean_interval(VALUES + 100, replicates),
        bootstrap_interval(VALUES + 100, replicates=replicates),
        median_interval(VALUES + 100, replicates),
        wilson_interval(9, 12, replicates),
        corrected_interval(VALUES + 100, 90, 10, replicates),
        paired(twice, "test", "L2", "none", replicates),
    ):
        claim("It holds", interval > 0)
        assert f"12 {replicates})" in capsys.readouterr().out
        with pytest.raises(ClaimFailed, match=f"over 12 {replicates}$"):
            claim("It holds", interval < 0)


@pytest.mark.parametrize(
    "interval",
    [mean_interval, bootstrap_interval, median_interval, lambda v: corrected_interval(v, 90, 10)],
)
@pytest.mark.parametrize("values", [[1.0], [], [1.0, np.nan], [1.0, np.inf], np.ones((2, 2)), 3.0])
def test_interval_refuses_what_has_none(interval, values):
    with pytest.raises(ValueError, match="one finite number per replicate"):
        interval(values)


@pytest.mark.parametrize("n", range(2, 6))
def test_few_values_have_no_interval_of_their_median(n):
    with pytest.raises(ValueError, match=f"needs six values, got {n}"):
        median_interval(VALUES[:n])
    median_interval(VALUES[:6])


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


INTERVAL = Interval(mean=2.0, low=1.0, high=3.0, n=12)


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
        (Interval(*np.array([2.0, 1.0, 3.0]), n=12) > 0.99, True),
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


def test_evidence_from_numpy_bounds_can_be_asked():
    assert Interval(*np.array([2.0, 1.0, 3.0]), n=12) > 0
    assert not Interval(*np.array([2.0, 1.0, 3.0]), n=12) < 0


def test_holm_counts_what_stands_among_all_questions():
    """Differences of ten seeds with known p values: 0.001, 0.02, 0.03 and 0.6."""
    from scipy import stats

    half = stats.t.ppf(0.975, 9)
    intervals = [
        Interval(m := stats.t.isf(p / 2, 9), m - half, m + half, 10)
        for p in (0.02, 0.6, 0.001, 0.03)
    ]
    assert holm(intervals) == 1  # 0.001 < 0.05 / 4, and 0.02 is above 0.05 / 3
    assert holm([intervals[2], intervals[0]]) == 2
    assert holm([Interval(-i.mean, -i.high, -i.low, 10) for i in intervals]) == 1
    assert holm([]) == 0


def test_holm_keeps_the_chance_of_a_false_difference():
    """2,000 pages of eight questions without an effect: at most 5 % have any that stands."""
    worlds = np.random.default_rng(0).normal(size=(2000, 8, 10))
    false = sum(holm(map(mean_interval, world)) > 0 for world in worlds)
    assert 0.03 < false / 2000 < 0.065
