"""Whatever a learner's function does, the report is a table of sentences and nothing escapes."""

import functools
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import keras
import numpy as np
import pytest
import torch
from torch import nn

from regbook import check as check_module
from regbook.check import exercises
from regbook.exercise import (
    AnswerError,
    Chapter,
    Failed,
    ModelHandle,
    Outcome,
    compare,
    follows_seed,
    judge,
    load_chapter,
    outputs,
    plain,
    vary,
)

ROOT = Path(__file__).parents[2]
chapter = Chapter("00_scales")
ex = chapter.exercise(
    "scale",
    lambda x, c: c * x,
    mistakes={"squared": lambda x, c: c * x**2, "negative": lambda x, c: -c * x},
    hints={"squared": "You squared x.", "negative": "You turned the sign."},
)


@ex.check(points=2, hint="Multiply by c.", more="Write c * x.")
def multiplies(ask, rng):
    """is c times x"""
    return ask(rng.normal(size=(2, 3)), rng.uniform(2, 3))


@ex.check(hint="Zero times anything is zero.", more="c may be 0.")
def vanishes(ask, rng):
    """is 0 when c is 0"""
    return ask(rng.normal(size=3), 0.0)


ex = chapter.exercise("halves", lambda x: (x / 2, x / 2), hints={})


@ex.check(hint="Divide by two.", more="Return x / 2 twice.")
def halves_twice(ask, rng):
    """returns both halves, each <b> for x > b"""
    return ask(rng.normal(size=2))


ex = chapter.exercise("build", hints={})


@ex.check(points=3, hint="One dense layer.", more="Use Dense(2).")
def has_a_kernel(ask, rng):
    """builds a model that takes a step"""
    model = ask.model(3)
    model.set_weights([np.ones((3, 2)), np.zeros(2)])
    model.train_step(rng.normal(size=(4, 3)), np.array([0, 1, 0, 1]))
    return compare(np.array(model.predict(np.ones((1, 3))).shape), np.array([1, 2]))


def scale(x, c):
    return c * x


def report(function, exercise="scale", **options):
    return chapter.report(function, exercise=exercise, **options)


def first(function, exercise="scale"):
    """Return the outcome of the first check."""
    return report(function, exercise).rows[0].outcome


def raising(error):
    def answer(x, c):
        raise error

    return answer


def raises_above(x, c):
    """Scale x."""
    raise NotImplementedError
    return c * x


def raises_below(x, c):
    c * x
    raise NotImplementedError


def imports_a_missing_module(x, c):
    import no_such_module_at_all  # noqa: F401


def endless(x, c):
    return endless(x, c)


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no repr")


def contains_itself(x, c):
    answer = []
    answer.append(answer)
    return answer


@pytest.mark.parametrize("depth", [40, 250, 400, 5000])
@pytest.mark.parametrize("container", [tuple, list, dict])
def test_a_deeply_nested_answer_gets_a_sentence(container, depth):
    value = 1.0
    for _ in range(depth):
        value = {"a": value} if container is dict else container((value, "text"))
    hint = report(lambda x, c: value).rows[0].outcome.hint
    assert "nested more than 32 levels" in hint or "raised RecursionError" in hint


def test_right_answer_earns_full_marks():
    full = report(scale)
    assert (full.points, full.max_points, full.status) == (
        3,
        3,
        "3 of 3 points, full marks",
    )
    assert [row.text for row in full.rows] == ["is c times x", "is 0 when c is 0"]
    assert full.hints == []


@pytest.mark.parametrize(
    "function",
    [
        lambda x, c: (c * x).astype(np.float32),
        lambda x, c: torch.tensor(c * x, requires_grad=True),
        lambda x, c: keras.ops.convert_to_tensor(c * x),
        lambda x, c: (c * x).tolist(),
        lambda x, c, more=1: c * x,
    ],
    ids=["float32", "torch", "keras", "list", "default"],
)
def test_answers_of_every_framework_pass(function):
    assert report(function).points == 3


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda x: x, r"called with 2 arguments, but takes \(x\)"),
        (lambda x, c, d: x, r"called with 2 arguments, but takes \(x, c, d\)"),
        (lambda x, c: "text", "Return numbers, not a text"),
        (lambda x, c: {"x": x}, "the values themselves; yours are in a dict"),
        (lambda x, c: scale, "expected numbers, got function"),
        (lambda x, c: 1j * x, "expected numbers"),
        (lambda x, c: None, "returned nothing: is the `return` missing"),
        (lambda x, c: ..., "returned nothing"),
        (lambda x, c: c * x[0], r"shape must be \(2, 3\); yours is \(3,\)"),
        (lambda x, c: 7, r"shape must be \(2, 3\); yours is \(\)"),
        (lambda x, c: (c * x, c), r"one array of shape \(2, 3\); yours returns 2 values"),
        (lambda x, c: (c * x, c * x), r"one array of shape \(2, 3\); yours returns 2 values"),
        (lambda x, c: (), r"shape must be \(2, 3\); yours is \(0,\)"),
        (lambda x, c: ((1, 2), (3,)), r"one array of shape \(2, 3\); yours returns 2 values"),
        (lambda x, c: (1, 2, 3), r"shape must be \(2, 3\); yours is \(3,\)"),
        (raises_above, "`raise NotImplementedError` still stands in your function: delete it"),
        (raises_below, "`raise NotImplementedError` still stands in your function: delete it"),
        (lambda x, c: -c * x, "You turned the sign"),
        (lambda x, c: c * x * np.nan, "NaN or infinity"),
        (lambda x, c: c * x / np.zeros(3), "NaN or infinity"),
        (lambda x, c: c * x**2, "You squared x"),
        (lambda x, c: c * x + 1, "Multiply by c"),
        (lambda x, c: x > 0, "Multiply by c"),
        (lambda x, c: np.zeros((0, 3)), r"yours is \(0, 3\)"),
        (lambda x, c: x.nothing, "raised AttributeError: .*'nothing'"),
        (raising(ValueError("odd")), "raised ValueError: odd"),
        (raising(SystemExit(3)), "raised SystemExit: 3"),
        (raising(GeneratorExit()), "raised GeneratorExit"),
        (
            raising(NotImplementedError("no such kernel")),
            "raised NotImplementedError: no such",
        ),
        (endless, "raised RecursionError"),
        (
            imports_a_missing_module,
            "install it with `pip install no_such_module_at_all`",
        ),
        (contains_itself, "raised RecursionError"),
        (lambda x, c: Unprintable(), "raised RuntimeError: no repr"),
        (lambda x, c: torch.ones(2, device="meta"), "raised NotImplementedError"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_wrong_answer_gets_a_sentence(function, sentence):
    failed = report(function)
    outcome = failed.rows[0].outcome
    assert not outcome.passed
    assert failed.rows[0].points == 0
    assert re.search(sentence, outcome.hint), outcome.hint
    assert outcome.hint in repr(failed)
    assert len(failed.rows) == 2


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda x: x / 2, r"alue 1: .*\(2,\)"),
        (
            lambda x: (x / 2, x / 2, x / 2),
            "2 values in the order of the exercise; yours returns 3",
        ),
        (lambda x: (x / 2, x[0]), r"alue 2: .*\(2,\)"),
        (lambda x: (x / 2, x / 3), "Divide by two"),
    ],
)
def test_wrong_answer_of_several_values_gets_a_sentence(function, sentence):
    outcome = first(function, "halves")
    assert not outcome.passed
    assert re.search(sentence, outcome.hint), outcome.hint


@pytest.mark.parametrize("form", [tuple, list, np.stack])
def test_several_values_may_come_in_any_container(form):
    assert first(lambda x: form([x / 2, x / 2]), "halves").passed


def test_interrupt_stops_the_report_without_escaping():
    calls = []

    def interrupted(x, c):
        calls.append(1)
        raise KeyboardInterrupt

    stopped = report(interrupted)
    assert len(calls) == 1
    assert "does a loop never end?" in stopped.rows[0].outcome.hint
    assert stopped.rows[1].outcome.received == "not run"
    assert stopped.points == 0


def test_one_failing_check_does_not_stop_the_others():
    def fails_at_zero(x, c):
        return c * x / (1 if c else np.array([]))

    outcomes = [row.outcome.passed for row in report(fails_at_zero).rows]
    assert outcomes == [True, False]


def test_an_outcome_can_be_stored_whatever_kind_of_truth_the_check_found():
    local = Chapter("local")

    @local.exercise("scale", hints={}).check(hint="Positive.", more="Not negative.")
    def positive(ask, rng):
        """is positive"""
        return Outcome(np.float64(1) > 0, "positive", "1")

    (row,) = local.report(scale).rows
    assert row.outcome.passed is True


def test_a_number_counts_in_every_form_that_python_has():
    local = Chapter("local")
    total = local.exercise("total", lambda x: x.sum(), hints={})

    @total.check(hint="Add.", more="x.sum()")
    def adds(ask, rng):
        """is the sum"""
        return ask(np.arange(4))

    for right in (6, 6.0, Fraction(6), Decimal(6), 6 + 0j, np.complex64(6), True + 5):
        (row,) = local.report(lambda x, right=right: right, exercise="total").rows
        assert row.outcome.passed, right
    for wrong, says in (
        ((6,), "a comma after it makes a tuple of it"),
        ((), "one number; yours returns 0 values"),
        ((1, 2, 3), "one number; yours returns 3 values"),
        ([6], r"one number; yours is an array of shape \(1,\)"),
        (6 + 1j, "expected numbers"),
        (10**400, "int too large"),
        ([Decimal("6"), "x"], "one number; yours returns 2 values"),
    ):
        (row,) = local.report(lambda x, wrong=wrong: wrong, exercise="total").rows
        assert re.search(says, row.outcome.hint), wrong


def test_several_values_may_come_from_zip():
    assert first(lambda x: zip(*[(v / 2, v / 2) for v in x], strict=True), "halves").passed
    assert first(lambda x: list(zip(*[(v / 2, v / 2) for v in x], strict=True)), "halves").passed
    assert first(lambda x: (map(lambda v: v / 2, x), x / 2), "halves").passed


def test_stub_is_not_attempted():
    def stub(x, c):
        raise NotImplementedError

    empty = report(stub)
    assert (empty.rows, empty.points) == ([], 0)
    assert repr(empty) == "scale: not attempted (0 of 3 points)"
    assert "not attempted" in empty._repr_html_()


def test_answer_may_change_its_arguments():
    def in_place(x, c):
        x *= c
        return x

    assert report(in_place).points == 3

    def vandal(x, c):
        result = c * x
        x[:] = np.nan
        return result

    assert report(vandal).points == 3


def test_checks_draw_the_same_inputs_whatever_the_answer_does_to_the_global_generator():
    seen = []

    def reseeds(x, c):
        np.random.seed(len(seen))
        seen.append(x.copy())
        return c * x

    report(reseeds)
    report(reseeds)
    np.testing.assert_array_equal(seen[0], seen[2])
    np.testing.assert_array_equal(seen[1], seen[3])


def test_another_seed_makes_hard_coded_answers_fail():
    table = {}

    def record(x, c):
        table[x.shape] = c * x
        return c * x

    def hard_coded(x, c):
        return table[x.shape] if c else c * x

    report(record, seed=0)
    assert report(hard_coded, seed=0).points == 3
    assert report(hard_coded, seed=1).points == 1


@pytest.mark.parametrize("hint", [1, 2])
def test_second_hint_adds_the_stronger_one(hint):
    check, _ = open_chapter()
    shown = repr(check(wrong_scale, hint=hint))
    assert "Hint: Multiply by c." in shown
    assert ("Hint: Write c * x." in shown) is (hint == 2)
    assert ("check(scale, hint=2)" in shown) is (hint == 1)


def wrong_scale(x, c):
    return 2 * c * x


wrong_scale.__name__ = "scale"


def test_html_shows_the_learners_text_as_text():
    def injects(x, c):
        raise ValueError("<script>alert(1)</script>")

    injects.__name__ = "scale"
    page = report(injects)._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert page.count("<tr") == 3
    strings = report(lambda x, c: "<b>bold</b>")._repr_html_()
    assert "<b>" not in strings
    cells = report(lambda x: (x, x), "halves")._repr_html_()
    assert "each &lt;b&gt; for x &gt; b" in cells


def test_check_without_docstring_or_hints_is_refused():
    def silent(ask, rng):
        return compare(1, 1)

    with pytest.raises(ValueError, match="silent: a check needs a docstring, hint and more"):
        Chapter("00_scales").exercise("scale", hints={}).check(hint="a", more="b")(silent)


def test_a_mistake_without_hint_is_refused():
    with pytest.raises(ValueError, match=r"scale: no hint for.*squared"):
        Chapter("00_scales").exercise("scale", mistakes={"squared": lambda x: x}, hints={})


def test_only_a_reference_can_say_which_argument_was_changed():
    def quiet(ask, rng):
        """changes nothing"""

    with pytest.raises(ValueError, match="quiet: without a reference"):
        Chapter("00").exercise("x", hints={}).check(hint="a", more="b", keeps_input=True)(quiet)


# --- one diagnosis -----------------------------------------------------------------------------


def _curve(x, *, power=1, shift=0.0, sign=1):
    return sign * x**power + shift


curves = Chapter("00_curves")
curve = curves.exercise(
    "curve",
    _curve,
    mistakes={
        "shifted": vary(_curve, shift=1.0),
        "squared": [vary(_curve, power=2), lambda x: x**2 if x.max() > 0 else -(x**2)],
        "fails": lambda x: x[99],
    },
    hints={
        "deep": "A sentence of the check itself.",
        "shifted": "You added 1.",
        "squared": "You squared x.",
        "fails": "?",
    },
)


@curve.check(hint="a", more="b")
def positive_numbers(ask, rng):
    """is right for positive numbers"""
    return ask(rng.uniform(2, 3, size=4))


@curve.check(points=2, hint="c", more="d", keeps_input=True)
def small_numbers(ask, rng):
    """is right for 0 and for negative numbers"""
    return {"zero": ask(np.zeros(2)), "negative": ask(-rng.uniform(2, 3, size=2))}


@curve.check(hint="e", more="f")
def is_finite(ask, rng):
    """is finite"""
    found = ask(np.ones(1)).item()
    if found == 7:
        raise Failed("less than 7", "7", "deep")
    return judge(found < 100, "below 100", f"{found:.0f}", {"squared": found == 10_000})


def named(function):
    rows = curves.report(function, exercise="curve").rows
    return [row.outcome.mistake for row in rows]


@pytest.mark.parametrize(
    ("function", "mistakes"),
    [
        (lambda x: x + 1, ["shifted", "shifted", ""]),
        (lambda x: x**2, ["squared", "squared", ""]),
        # Only the second function of a mistake explains both rows.
        (lambda x: x**2 if x.max() > 0 else -(x**2), ["squared", "squared", ""]),
        # It squares where numbers are positive and adds 1 elsewhere: one of the two is named.
        (lambda x: x**2 if x.max() > 1 else x + 1, ["positive_numbers", "shifted", ""]),
        (lambda x: x + 5, ["positive_numbers", "small_numbers", ""]),
        (lambda x: np.full(x.shape, 7.0), ["positive_numbers", "small_numbers", "deep"]),
        (lambda x: np.full(x.shape, 1e4), ["positive_numbers", "small_numbers", "squared"]),
        (lambda x: x[:, None], ["form", "form", ""]),
    ],
)
def test_an_answer_gets_one_diagnosis(function, mistakes):
    assert named(function) == mistakes
    hints = {key: curve.hints[key] for key in mistakes if key in curve.hints}
    report = curves.report(function, exercise="curve")
    for row in report.rows:
        if row.outcome.mistake in hints:
            assert row.outcome.hint == hints[row.outcome.mistake]
    if hints:
        assert report.hints == list(hints.values())


def test_an_answer_that_changes_its_argument_loses_the_check_that_asks_for_that():
    def in_place(x):
        result = x.copy()
        x[:] = 0
        return result

    report = curves.report(in_place, exercise="curve")
    assert [row.points for row in report.rows] == [1, 0, 1]
    outcome = report.rows[1].outcome
    assert (outcome.mistake, outcome.received) == ("changes its input", "x has changed")
    assert "`x.copy()` copies" in outcome.hint


def test_a_bug_of_the_reference_is_not_the_learners():
    broken = Chapter("00_broken")

    @broken.exercise("scale", lambda x: 1 / 0, hints={}).check(hint="a", more="b")
    def anything(ask, rng):
        """is anything"""
        return ask(1.0)

    with pytest.raises(ZeroDivisionError):
        broken.report(lambda x: x, exercise="scale")


# --- what a row shows ----------------------------------------------------------------------------

ROW = np.array([1.722, 2.882, 3.3, 4.4])


@pytest.mark.parametrize(
    ("received", "expected", "texts"),
    [
        (ROW + np.array([0, 0, 0.5, 0]), ROW, ("[2]: 3.3", "[2]: 3.8")),
        (ROW + 1, ROW, ("[0]: 1.722, [1]: 2.882, [2]: 3.3", "[0]: 2.722, [1]: 3.882, [2]: 4.3")),
        (ROW.reshape(2, 2) * [1, 2], ROW.reshape(2, 2),
         ("[0, 1]: 2.882, [1, 1]: 4.4", "[0, 1]: 5.764, [1, 1]: 8.8")),
        ((ROW, ROW * 2), (ROW, ROW), ("value 2: [0]: 1.722, [1]: 2.882, [2]: 3.3",
                                      "value 2: [0]: 3.444, [1]: 5.764, [2]: 6.6")),
        ({"a case": 2.0, "b": 1.0}, {"a case": 1.0, "b": 1.0}, ("a case: 1", "a case: 2")),
        (1234.0, 1236.3, ("1236", "1234")),
        (12345678.0, 12364.0, ("1.236e+04", "1.235e+07")),
        (0.99999 * 1e-3, 1.0151e-3, ("0.001015", "0.001")),
        (1.0000 + 1.0149e-3, 1.0, ("1", "1.001")),
        (np.array([np.nan, 1.0]), np.array([0.0, 1.0]), ("[0]: 0", "[0]: nan")),
        ("no", "yes", ("'yes'", "'no'")),
        (("no", "no"), ("no", "yes"), ("value 2: 'yes'", "value 2: 'no'")),
    ],
)  # fmt: skip
def test_a_row_shows_what_differs_and_where(received, expected, texts):
    outcome = compare(received, expected)
    assert not outcome.passed
    assert (outcome.expected, outcome.received) == texts


def test_no_cell_is_empty_or_a_mere_count():
    for value in ((), (1.0, 2.0), {"a": (1.0,)}, np.zeros(0), (np.ones(2), "text"), ""):
        outcome = compare(value, value)
        assert outcome.passed
        assert outcome.expected.strip()
        assert not re.fullmatch(r"\d+ values", outcome.expected)


@pytest.mark.parametrize("expected", [np.arange(6.0).reshape(2, 3), np.arange(3.0)])
def test_a_tuple_is_as_good_as_an_array(expected):
    assert compare(tuple(expected), expected).passed
    assert compare((1.0, expected), (1.0, tuple(expected))).passed
    assert compare({"a": tuple(expected)}, {"a": expected}).passed
    assert not compare(tuple(expected + 1), expected).passed
    assert "yours returns 2" in compare((np.ones(2), np.ones(3)), np.ones((2, 3))).hint


def nested(array, outer, inner):
    """Return an array as nested containers: the rows in `outer`, all below in `inner`."""
    if not array.ndim:
        return array.item()
    return outer(nested(row, inner, inner) for row in array)


@pytest.mark.parametrize("inner", [tuple, list])
@pytest.mark.parametrize("outer", [tuple, list])
def test_an_array_may_come_as_nested_tuples_and_lists(outer, inner):
    assert report(lambda x, c: nested(c * x, outer, inner)).points == 3
    cube = np.arange(24.0).reshape(2, 3, 4)
    for expected in (cube, cube[:, :1], cube[:1, 0], cube[0, 0], np.zeros((2, 0)), np.zeros(0)):
        received = plain(nested(expected, outer, inner))
        assert compare(received, expected).passed
        (only,) = outputs(received, expected.shape)
        np.testing.assert_array_equal(only, expected)
        inside = plain((1.0, nested(expected, outer, inner)))
        assert compare(inside, (np.array(1.0), expected)).passed
        named = plain({"a": nested(expected, outer, inner)})
        assert compare(named, {"a": expected}).passed


# --- seeds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "mistake"),
    [
        (lambda seed: np.random.default_rng(seed).normal(size=4), ""),
        (lambda seed: (np.random.default_rng(seed).normal(size=4), 1.0), ""),
        (lambda seed: np.random.default_rng(0).normal(size=4), "fixed"),
        (lambda seed: np.random.default_rng().normal(size=4), "unseeded"),
        (lambda seed: np.full(4, np.nan), "form"),
        (lambda seed: (np.ones(4), float("nan")), "form"),
        (lambda seed: {"noise": np.array([seed, np.inf])}, "form"),
        (lambda seed: "text", "fixed"),
    ],
)
def test_a_draw_follows_its_seed(draw, mistake):
    rng = np.random.default_rng(0)
    outcome = follows_seed(draw, rng, fixed="fixed", unseeded="unseeded")
    assert (outcome.passed, outcome.mistake) == (mistake == "", mistake)
    assert ("NaN" in outcome.hint) is (mistake == "form")


def test_a_mistake_is_known_by_its_nan():
    received, expected = np.array([np.nan, 1.0, 2.5]), np.array([1.0, 1.0, 2.0])
    outcome = compare(received, expected, {"other": received + 1, "0 / 0": received.copy()})
    assert outcome.mistake == "0 / 0"
    assert outcome.received == "[0]: nan, [2]: 2.5"
    assert not compare(expected, received).passed


def open_chapter():
    """Open the chapter of this file like `exercises` opens one of the book."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check_module, "load_chapter", lambda slug: chapter)
        return exercises("00_scales")


def test_progress_adds_up_what_was_checked():
    check, progress = open_chapter()
    none = "scale: not attempted (0 of 3 points)"
    rest = "halves: not attempted (0 of 1 points)\nbuild: not attempted (0 of 3 points)"
    assert repr(progress()) == f"{none}\n{rest}\ntotal: 0 of 7 points"
    check(scale)
    assert repr(progress()).startswith("scale: 3 of 3 points, full marks\n")
    assert repr(progress()).endswith("total: 3 of 7 points")
    check(wrong_scale)  # the latest answer counts
    assert repr(progress()).endswith("total: 1 of 7 points")


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        (
            np.ones(3),
            r"check takes your function itself, without calling it: check\(scale\)",
        ),
        (3.5, "without calling it"),
        (None, "without calling it"),
        ("scale", "without calling it"),
        (functools.partial(scale, c=1), "check takes your function itself"),
        (
            lambda x, c: c * x,
            "No exercise is called '<lambda>' here. .* scale, halves, build",
        ),
        (raising(ValueError()), "No exercise is called 'answer' here"),
    ],
)
def test_check_explains_what_it_takes(argument, sentence):
    check, progress = open_chapter()
    assert re.search(sentence, repr(check(argument)))
    assert repr(progress()).endswith("total: 0 of 7 points")


def test_unknown_chapter_is_named():
    for slug in ("99_nothing", "nothing", ""):
        with pytest.raises(KeyError, match=f"no chapter '{slug}' has exercises"):
            load_chapter(slug)


def test_chapter_of_the_book_opens():
    check, progress = exercises("07_l2_weight_decay")

    def l2_penalty(weights, lam):
        return lam * sum((w**2).sum() for w in weights)

    assert "full marks" in repr(check(l2_penalty))
    assert "l2_penalty: 4 of 4 points, full marks" in repr(progress())


def keras_model(n, compiled=True, loss=None):
    model = keras.Sequential([keras.Input((n,)), keras.layers.Dense(2)])
    if compiled:
        sparse = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.5), loss or sparse)
    return model


def torch_model(n, module=None):
    model = nn.Sequential(nn.Linear(n, 2), *([module] if module else []))
    return model, torch.optim.SGD(model.parameters(), lr=0.5)


class Broken(nn.Module):
    def forward(self, x):
        raise RuntimeError("sizes do not fit")


class Leaves(nn.Module):
    def forward(self, x):
        sys.exit(1)


@pytest.mark.parametrize("build", [keras_model, torch_model])
def test_handle_reads_sets_predicts_and_steps(build):
    handle = ModelHandle(build(3))
    kernel, bias = np.arange(6.0).reshape(3, 2) / 10, np.array([0.5, -0.5])
    handle.set_weights([kernel, bias])
    for a, b in zip(handle.weights(), (kernel, bias), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)
    x, y = np.eye(3)[:2], np.array([1, 0])
    logits = x @ kernel + bias
    np.testing.assert_allclose(handle.predict(x), logits, atol=1e-6)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    d = (p - np.eye(2)[y]) / 2
    handle.train_step(x, y)
    np.testing.assert_allclose(handle.weights()[0], kernel - 0.5 * x.T @ d, atol=1e-6)
    np.testing.assert_allclose(handle.weights()[1], bias - 0.5 * d.sum(axis=0), atol=1e-6)


@pytest.mark.parametrize("build", [keras_model, torch_model])
def test_model_that_fits_passes(build):
    assert report(lambda n: build(n), "build").points == 3


MODELS = {
    "04_input_normalization": "build_scaled_model",
    "05_initialization": "build_he_network",
    "07_l2_weight_decay": "build_regularized_model",
    "11_alpha_dropout": "build_self_normalizing_network",
    "12_mc_dropout": "enable_dropout_only",
}
# A program that checks the answers of the banks where a Keras model is a PyTorch module too.
ON_PYTORCH = f"""
import importlib.util
from pathlib import Path
import keras, torch
from regbook.exercise import Answer, load_chapter

assert issubclass(keras.Model, torch.nn.Module)

class Spied(Answer):
    def model(self, *arguments):
        handle = super().model(*arguments)
        kinds.add(isinstance(handle._model, keras.Model))
        return handle

for slug, name in {MODELS}.items():
    path = next(Path({str(ROOT / "tests/autograder")!r}).glob(slug[3:] + "_answers.py"))
    spec = importlib.util.spec_from_file_location("bank", path)
    bank = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bank)
    kinds = set()
    answers = [("", answer) for answer in bank.RIGHT[name]] + bank.WRONG[name]
    for mistake, answer in answers:
        report = load_chapter(slug).report(Spied(answer), exercise=name)
        found = {{row.outcome.mistake for row in report.rows if not row.outcome.passed}}
        assert mistake in found if mistake else not found, report
    assert kinds == {{True, False}}, slug
print("done")
"""


def run_with_backend(backend, program):
    environment = {**os.environ, "KERAS_BACKEND": backend}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )


def test_a_keras_model_on_pytorch_is_a_keras_model():
    ask = {
        path.stem for path in ROOT.glob("regbook/checks/*.py") if "ask.model(" in path.read_text()
    }
    assert ask == {slug[3:] for slug in MODELS}
    run = run_with_backend("torch", ON_PYTORCH)
    assert run.stdout.endswith("done\n"), run.stderr[-2000:]


@pytest.mark.skipif(bool(importlib.util.find_spec("jax")), reason="JAX is installed")
def test_a_backend_of_keras_that_is_missing_is_named():
    run = run_with_backend("jax", """
from regbook.exercise import Answer, AnswerError
def build():
    import keras
for _ in range(2):
    try:
        Answer(build).model()
    except AnswerError as error:
        print(error)
""")  # fmt: skip
    sentence = (
        "Keras is set to the backend jax, which is not installed: restart the kernel, and run "
        "`%env KERAS_BACKEND=tensorflow` before Keras is imported.\n"
    )
    assert run.stdout == 2 * sentence, run.stderr


def unbuilt(n):
    model = keras.Sequential([keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize(
    ("built", "sentence"),
    [
        (lambda: torch_model(3)[0], r"return the pair \(model, optimizer\)"),
        (lambda: (torch_model(3)[0], 0.1), r"return the pair \(model, optimizer\)"),
        (lambda: 3, "yours is a int"),
        (lambda: (1, 2, 3), "yours is a tuple"),
        (lambda: keras_model(3, compiled=False), r"not compiled: call model.compile"),
    ],
)
def test_handle_refuses_what_is_no_model(built, sentence):
    with pytest.raises(AnswerError, match=sentence):
        ModelHandle(built())


def test_handle_asks_for_an_input():
    with pytest.raises(AnswerError, match=r"give it a keras\.Input"):
        ModelHandle(unbuilt(3)).weights()


@pytest.mark.parametrize(
    "build",
    [
        lambda n: torch_model(n)[0],
        lambda n: torch_model(n, nn.PReLU()),
        lambda n: torch_model(n, nn.Linear(2, 2)),
        lambda n: torch_model(n, Broken()),
        lambda n: torch_model(n, Leaves()),
        lambda n: keras_model(n + 1),
        lambda n: keras_model(n, loss=keras.losses.CategoricalCrossentropy()),
        unbuilt,
        lambda n: None,
        lambda n: 7,
    ],
)
def test_model_that_does_not_fit_gets_a_sentence(build):
    failed = report(build, "build")
    (row,) = failed.rows
    assert (row.points, row.outcome.passed) == (0, False)
    assert row.outcome.mistake == "error"
    assert len(row.outcome.hint) > 20


def test_outputs_reads_a_stacked_list_like_a_tuple():
    pair = (np.ones(2), np.zeros(2))
    for received in (pair, np.stack(pair)):
        first, second = outputs(received, (2,), (2,))
        assert (first == 1).all() and (second == 0).all()
    (only,) = outputs(np.ones((2, 3)), (2, 3))
    assert only.shape == (2, 3)


@pytest.mark.parametrize(
    ("received", "sentence"),
    [
        (np.ones(2), "Value 1: .*shape"),
        ((np.ones(2),), "Return 2 values"),
        ((np.ones(2), np.ones(3)), "Value 2: .*shape"),
        ((np.ones(2), np.full(2, np.nan)), "NaN"),
    ],
)
def test_outputs_of_another_form_are_a_sentence(received, sentence):
    with pytest.raises(AnswerError, match=sentence):
        outputs(received, (2,), (2,))


def test_an_answer_in_a_list_is_followed_through_all_steps():
    asked = []

    def adamw_step(w, grad, m, v, t, *rest):
        asked.append(t)
        return [w, m, v]

    load_chapter("07_l2_weight_decay").report(adamw_step)
    assert asked[-4:] == [1, 2, 3, 4]


@pytest.fixture
def hears_interrupts():
    """Hear an interrupt as Jupyter does; a process in the background of a shell ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_call_that_does_not_end_is_stopped_with_a_sentence(monkeypatch, hears_interrupts):
    monkeypatch.setattr(check_module, "CALL_SECONDS", 0.3)
    monkeypatch.setattr(check_module, "LOOK_SECONDS", 0.1)
    check, _ = open_chapter()

    def sleeps(x, c):
        time.sleep(20)

    def loops(x, c):
        while True:
            pass

    def swallows(x, c):
        for _ in range(3):
            try:
                while True:
                    pass
            except BaseException:
                continue

    for function in (sleeps, loops):
        function.__name__ = "scale"
        rows = check(function).rows
        assert "was stopped: it did not finish within 0.3 s: does a loop" in rows[0].outcome.hint
        assert rows[1].outcome.received == "not run"
    swallows.__name__ = "scale"
    assert "returned nothing" in check(swallows).rows[0].outcome.hint
    assert check(scale).points == 3


def test_import_of_a_framework_is_told(monkeypatch, capsys, hears_interrupts):
    monkeypatch.setattr(check_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(check_module, "FRAMEWORKS", {"slow_framework": "SlowFramework"})
    check, _ = open_chapter()

    def imports(x, c):
        sys.modules["slow_framework"] = sys
        time.sleep(0.4)
        return c * x

    imports.__name__ = "scale"
    assert check(imports).points == 3
    assert (
        capsys.readouterr().out == "Importing SlowFramework takes some seconds, the first time.\n"
    )
    check(imports)
    assert capsys.readouterr().out == ""
    del sys.modules["slow_framework"]


def test_endless_recursion_is_named():
    assert "calls itself, directly or through another" in first(endless).hint


def test_old_function_behind_a_syntax_error_is_named(monkeypatch):
    class Shell:
        user_ns: ClassVar = {"In": ["def scale(x, c):\n    return c * x", "scale(1, 2)"]}

    monkeypatch.setattr("IPython.get_ipython", lambda: Shell)
    check, _ = open_chapter()
    assert check(scale).points == 3
    Shell.user_ns["In"] += ["%%time\ndef scale(x, c) oh", "def scaled(x", "check(scale)"]
    assert check(scale).points == 3
    Shell.user_ns["In"] += ["def scale(x, c):\n    return (c * x", "check(scale)"]
    assert "The last cell that defines scale has a syntax error" in repr(check(scale))
    Shell.user_ns["In"] += ["def scale(x, c):\n    return c * x", "check(scale)"]
    assert check(scale).points == 3


@pytest.mark.parametrize(
    ("slug", "says"),
    [
        ("10", "No chapter '10' has exercises. Did you mean '10_dropout'?"),
        ("10_droput", "Did you mean '10_dropout'?"),
        ("L2", "The chapters are 01_data_splits, "),
        (10, "Did you mean '10_dropout'?"),
        ("", "The chapters are"),
    ],
)
def test_wrong_chapter_gets_a_sentence(slug, says):
    with pytest.raises(check_module.UnknownChapter) as caught:
        exercises(slug)
    assert says in str(caught.value)
    assert caught.value._render_traceback_() == [str(caught.value)]


def test_check_without_a_function_gets_a_sentence():
    check, _ = open_chapter()
    assert "without calling it: check(scale)" in repr(check())
