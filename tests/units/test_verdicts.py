"""A verdict has the outcome that its interval allows, as often as it should on made worlds."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from regbook.claims import ClaimFailed, Interval, claim, mean_interval
from regbook.margins import MARGINS, Margin, margin
from regbook.verdicts import OUTCOMES, verdict

ROOT = Path(__file__).resolve().parents[2]
MASK = re.search(r"^regex: (.*)$", (ROOT / "tests" / "nbval.cfg").read_text(), re.MULTILINE)[1]


def interval(low, high, n=10):
    return Interval((low + high) / 2, low, high, n, "fresh splits")


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (0.5, 3, "helps"),
        (0.001, 0.9, "helps"),  # smaller than the margin, and still no chance
        (-3, -0.5, "harms"),
        (-0.9, -0.001, "harms"),
        (-0.9, 0.9, "no difference"),
        (0, 0.9, "no difference"),
        (-0.9, 0, "no difference"),
        (0, 0, "no difference"),
        (-1, 0.9, "cannot tell"),
        (-0.9, 1, "cannot tell"),
        (0, 3, "cannot tell"),
        (-3, 3, "cannot tell"),
    ],
)
def test_outcome_follows_from_the_bounds_and_the_direction_of_the_metric(low, high, outcome):
    assert verdict("q", interval(low, high), "accuracy").outcome == outcome
    assert verdict("q", interval(-high, -low), "ece").outcome == outcome
    assert verdict("q", interval(-high / 50, -low / 50), "nll").outcome == outcome


@pytest.mark.parametrize("low", np.linspace(-3, 0, 13))
@pytest.mark.parametrize("width", [1.0, 1.4, 3.0, 8.0])
def test_the_number_needed_decides_whatever_the_effect_is(low, width):
    found = verdict("q", interval(low, low + width))
    if found.outcome == "cannot tell":
        assert found.needed >= 10
        narrow = 0.999 * width * np.sqrt(10 / found.needed)
        for middle in np.linspace(-2, 2, 41):
            again = verdict("q", interval(middle - narrow / 2, middle + narrow / 2))
            assert again.outcome != "cannot tell"


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("expect", OUTCOMES)
def test_another_outcome_than_the_expected_one_stops_the_build(outcome, expect):
    bounds = {"helps": (1, 2), "harms": (-2, -1), "no difference": (-0.5, 0.5)}
    given = interval(*bounds.get(outcome, (-9, 9)))
    if outcome == expect:
        assert verdict("Dropout", given, expect=expect).outcome == expect
    else:
        with pytest.raises(ClaimFailed, match=f'for the outcome "{expect}".* Dropout: {outcome}'):
            verdict("Dropout", given, expect=expect)


@pytest.mark.parametrize(
    ("given", "options", "error", "sentence"),
    [
        (interval(1, 2, n=9), {}, ValueError, "needs 10 fresh splits, this one has 9: q"),
        (interval(1, np.inf), {}, ValueError, "finite bounds"),
        (interval(np.nan, 2), {}, ValueError, "finite bounds"),
        (interval(1, 2), {"expect": "help"}, ValueError, "expect is one of helps, harms"),
        (interval(1, 2), {"metric": "accuracy/none"}, KeyError, "no margin is declared .* nll"),
    ],
)
def test_what_cannot_be_judged_is_refused(given, options, error, sentence):
    with pytest.raises(error, match=sentence):
        verdict("q", given, **options)


def test_claims_and_verdicts_refuse_the_same_intervals():
    for given in (interval(1, 2, n=9), interval(1, np.inf)):
        errors = []
        for judge in (lambda i: verdict("q", i), lambda i: claim("q", i > 0)):
            with pytest.raises(ValueError, match="q") as caught:
                judge(given)
            errors.append(str(caught.value))
        assert errors[0] == errors[1]


@pytest.mark.parametrize(
    ("metric", "bounds", "line"),
    [
        ("accuracy", (1, 2), "Drop<out>: helps. +1.5 points [+1.0, +2.0], 10 fresh splits"),
        (
            "nll",
            (-0.01, 0.01),
            "Drop<out>: no difference larger than 0.02 nats. "
            "+0.000 nats [-0.010, +0.010], 10 fresh splits",
        ),
        (
            "ece",
            (-2, 3),
            "Drop<out>: cannot tell. +0.5 points [-2.0, +3.0] (about 250 needed), 10 fresh splits",
        ),
    ],
)
def test_a_verdict_is_one_line_of_text_and_of_html(metric, bounds, line):
    found = verdict("Drop<out>", interval(*bounds), metric)
    assert str(found) == repr(found) == line
    page = found._repr_html_()
    assert "\n" not in page
    assert "Drop&lt;out&gt;" in page
    assert f'class="verdict {found.outcome.replace(" ", "-")}"' in page
    assert f"<strong>{found.label}</strong>" in page
    assert f'<span class="estimate">{found.estimate}</span>, 10 fresh splits' in page


@pytest.mark.parametrize("metric", MARGINS)
@pytest.mark.parametrize("size", [0.1, 1, 30, 5000])
@pytest.mark.parametrize("bounds", [(1, 2), (-2, -1), (-4, 3)])
def test_the_mask_hides_all_of_the_estimate_and_nothing_else(metric, size, bounds):
    found = verdict("q", interval(*(size * MARGINS[metric].value * b for b in bounds)), metric)
    for text in (str(found), found._repr_html_()):
        assert re.sub(MASK, "ESTIMATE", text) == text.replace(found.estimate, "ESTIMATE")
    for other in (
        "Claim holds: L2 helps (95 % interval within -1 and 1, 12 seeds)",
        "Keras and PyTorch agree within 1e-06: losses",
        str(interval(1, 2)),
        "[+0.1, +0.2]",
    ):
        assert re.sub(MASK, "ESTIMATE", other) == other


def test_nbval_masks_the_estimate_and_notices_the_outcome(tmp_path):
    """Run by nbval itself, with the settings of the project."""
    source = (
        "from regbook.claims import Interval\nfrom regbook.verdicts import verdict\n"
        'verdict("q", Interval({}, 10))'
    )
    cells = []
    for stored, shown in [((1, 0.5, 2), "7, 3, 9"), ((1, 0.5, 2), "0, -0.5, 0.5")]:
        old = verdict("q", Interval(*stored, 10))
        data = {"text/plain": repr(old), "text/html": old._repr_html_()}
        output = new_output("execute_result", data=data, execution_count=1)
        tags = {"tags": ["nbval-check-output"]}
        cells.append(new_code_cell(source.format(shown), metadata=tags, outputs=[output]))
        cells[-1].execution_count = 1
    nbformat.write(new_notebook(cells=cells), tmp_path / "page.ipynb")
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT]
    run = subprocess.run(
        [*command, "-n0", "-q", tmp_path / "page.ipynb"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(r"\b1 failed, 1 passed\b", run.stdout), run.stdout + run.stderr
    assert re.search(r"FAILED .*Cell 1\b", run.stdout), run.stdout


@pytest.mark.parametrize("metric", MARGINS)
def test_a_margin_is_whole_and_a_page_with_its_own_gives_the_reason(metric):
    declared = margin(metric)
    usual = MARGINS.get(metric.partition("/")[0], declared)  # a page may have its own metric
    assert 0 < declared.value < np.inf
    assert re.fullmatch(r"\w+s", declared.unit)  # one word, a plural: the mask relies on it
    assert declared.better in ("higher", "lower")
    assert (declared.unit, declared.better) == (usual.unit, usual.better)
    if "/" in metric:
        assert declared.reason
        assert (ROOT / "solutions" / f"{metric.partition('/')[2]}.ipynb").exists()


def test_a_margin_of_one_is_singular():
    assert [str(Margin(value, "points")) for value in (1, 0.5, 2)] == [
        "1 point",
        "0.5 points",
        "2 points",
    ]


WORLDS = 2000


def rates(effect, spread, n, metric="accuracy"):
    """Return how often each outcome comes in 2,000 worlds with a known effect, in margins."""
    size = MARGINS[metric].value
    rng = np.random.default_rng(3)
    draws = rng.normal(effect * size, spread * size, size=(WORLDS, n))
    outcomes = [verdict("q", mean_interval(d), metric).outcome for d in draws]
    return {name: outcomes.count(name) / WORLDS for name in OUTCOMES}


def above(rate):
    """Return the rate plus three binomial standard errors."""
    return rate + 3 * np.sqrt(rate * (1 - rate) / WORLDS)


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("n", [10, 20])
def test_without_an_effect_few_worlds_find_one(spread, n):
    found = rates(0, spread, n)
    for side in ("helps", "harms"):  # each side has 2.5 %
        assert 0.05 - above(0.025) < found[side] < above(0.025)


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("effect", [1, 2, -1])
def test_an_effect_of_the_margin_or_more_is_seldom_denied(spread, effect):
    found = rates(effect, spread, 10)
    assert found["no difference"] < above(0.025)
    assert found["harms" if effect > 0 else "helps"] < above(0.025)


def test_outcomes_come_as_often_as_theory_says():
    """Within a tight spread each effect has its outcome, and a wide one cannot tell."""
    assert rates(0, 0.3, 10)["no difference"] > 0.9
    half = rates(0.5, 0.3, 10)  # a real gain below the margin is a gain
    assert half["helps"] > 0.95 > 0.05 > half["no difference"]
    assert rates(1, 0.3, 10)["helps"] > 0.99
    assert rates(2, 0.3, 10)["helps"] > 0.99
    assert rates(0, 3, 10)["cannot tell"] > 0.9
    assert rates(2, 0.3, 10, "nll")["harms"] > 0.99
