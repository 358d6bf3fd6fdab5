"""What grading adds to the checks: dicts as answers, stops, stored reports, models."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
from torch import nn

from regbook.exercise import (
    Answer,
    AnswerError,
    Chapter,
    ModelHandle,
    Outcome,
    Report,
    Stopped,
    brief,
    compare,
    load_chapter,
    load_chapters,
)
from regbook.notebooks import functions

ROOT = Path(__file__).parents[2]
SWAPPED = "You swapped mean and scale."
chapter = Chapter("00_moments")
moments = chapter.exercise(
    "moments",
    lambda x: {"mean": x.mean(), "scale": x.std()},
    mistakes={"swapped": lambda x: {"mean": x.std(), "scale": x.mean()}},
    hints={"swapped": SWAPPED},
)


@moments.check(points=2, hint="Use mean and std.", more="x.mean(), x.std()")
def names_both(ask, rng):
    """has the mean and the scale"""
    return ask(rng.normal(size=5))


@moments.check(hint="A constant has no scale.", more="x.std() is 0.")
def of_a_constant(ask, rng):
    """has the scale 0 for a constant"""
    return ask(np.full(4, 2.0))


def report(function):
    return chapter.report(function, exercise="moments")


@pytest.mark.parametrize(
    "function",
    [
        lambda x: {"mean": x.mean(), "scale": x.std()},
        lambda x: {"scale": x.std(), "mean": x.mean()},
        lambda x: {"mean": torch.tensor(x).mean(), "scale": keras.ops.std(x)},
        lambda x: {"mean": float(x.mean()), "scale": np.float32(x.std())},
    ],
    ids=["numpy", "order", "frameworks", "numbers"],
)
def test_dict_of_numbers_of_any_framework_passes(function):
    assert report(function).points == 3


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda x: {"mean": x.std(), "scale": x.mean()}, SWAPPED),
        (lambda x: {"mean": x.mean() + 1, "scale": x.std()}, "Use mean and std"),
        (lambda x: {"mean": x.mean()}, "Return a dict with the keys mean, scale."),
        (lambda x: {"mean": 0, "scale": 0, "more": 0}, "Return a dict with the keys mean, scale."),
        (lambda x: (x.mean(), x.std()), "Return a dict with the keys mean, scale."),
        (lambda x: x.mean(), "Return a dict with the keys mean, scale."),
        (lambda x: {}, "Return a dict with the keys mean, scale."),
        (
            lambda x: {"mean": x, "scale": x.std()},
            r"mean: .* number; yours is an array of shape \(5,\)",
        ),
        (lambda x: {"mean": np.nan, "scale": x.std()}, "mean: The answer holds NaN"),
        (
            lambda x: {"mean": (1, 2), "scale": {"a": 1}},
            "mean: Return one number; yours returns 2 values",
        ),
        (lambda x: {"mean": x.mean(), "scale": {"a": 1}}, "scale: Return the values themselves"),
        (lambda x: {"mean": "text", "scale": 1}, "mean: Return numbers, not a text"),
    ],
)
def test_dict_that_does_not_fit_gets_a_sentence(function, sentence):
    outcome = report(function).rows[0].outcome
    assert not outcome.passed
    assert re.search(sentence, outcome.hint), outcome.hint


def test_dict_where_values_are_expected_is_a_fault_of_form():
    for expected in (1.0, np.zeros(2), (1.0, 2.0)):
        outcome = compare({"a": np.array(1.0)}, expected)
        assert not outcome.passed
        assert "yours are in a dict" in outcome.hint or "Return 2 values" in outcome.hint


def test_dict_inside_containers_is_compared():
    value = (np.ones(2), {"a": np.array(1.0), "b": {"c": np.zeros(2)}})
    assert compare(value, value).passed
    assert not compare((np.ones(2), {"a": np.array(1.0)}), value).passed


def test_dict_is_described_by_its_names():
    assert brief({"a": np.array(0.5), "b": (1, 2)}) == "a: 0.5; b: 1; 2"
    assert len(brief({f"{i}" * 400: np.array(i) for i in range(100)})) <= 500


@pytest.mark.parametrize("sentence", ["it did not finish within 5 s", "the process died"])
def test_stopped_answer_ends_the_report_with_its_reason(sentence):
    calls = []

    class Remote(Answer):
        def __call__(self, *arguments):
            calls.append(arguments)
            raise Stopped(sentence)

    stopped = report(Remote(None))
    assert len(calls) == 1
    assert all(row.outcome.hint.endswith(sentence) for row in stopped.rows)
    assert [row.outcome.received for row in stopped.rows] == ["none", "not run"]
    assert (stopped.points, stopped.max_points) == (0, 3)


def test_answer_elsewhere_is_asked_like_a_function():
    def moments(x):
        return {"mean": x.mean(), "scale": x.std()}

    assert report(Answer(moments)) == report(moments)


def test_report_survives_json():
    reports = [report(lambda x: {}), report(lambda x: {"mean": x.mean(), "scale": x.std()}),
               moments.not_attempted(), Report("x", [], 2, hint=2)]  # fmt: skip
    for stored in reports:
        loaded = Report.from_dict(json.loads(json.dumps(asdict(stored))))
        assert loaded == stored
        assert repr(loaded) == repr(stored)
        assert all(isinstance(row.outcome, Outcome) for row in loaded.rows)


def test_all_chapters_load_in_order():
    chapters = load_chapters()
    assert list(chapters) == sorted(chapters)
    assert "07_l2_weight_decay" in chapters
    for slug, loaded in chapters.items():
        assert loaded.slug == slug
        assert loaded.exercises
        assert load_chapter(slug) is loaded


def contained(value, outer, inner):
    """Return what an answer returned, each array in it as nested containers."""
    if isinstance(value, np.ndarray) and value.ndim:
        return outer(contained(row, inner, inner) for row in value)
    if isinstance(value, list | tuple):
        return type(value)(contained(item, outer, inner) for item in value)
    if isinstance(value, dict):
        return {key: contained(item, outer, inner) for key, item in value.items()}
    return value.item() if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize(
    ("outer", "inner"), [(tuple, tuple), (list, tuple), (tuple, list)], ids=str
)
@pytest.mark.parametrize("slug", load_chapters())
def test_right_arrays_count_in_any_container(slug, outer, inner):
    solved = functions(ROOT / "solutions" / f"{slug}.ipynb")
    for name, exercise in load_chapter(slug).exercises.items():
        if exercise.reference is None:  # it builds a model
            continue

        def answer(*arguments, function=solved[name]):
            return contained(function(*arguments), outer, inner)

        for seed in range(5):
            report = load_chapter(slug).report(answer, exercise=name, seed=seed)
            assert report.points == report.max_points, f"seed {seed}: {report}"


def keras_model():
    layers = [keras.Input((4,)), keras.layers.Dense(3, activation="relu"),
              keras.layers.BatchNormalization(momentum=0.75),
              keras.layers.Dropout(0.25)]  # fmt: skip
    model = keras.Sequential(layers)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def torch_model():
    layers = [nn.Linear(4, 3), nn.ReLU(), nn.BatchNorm1d(3, momentum=0.25), nn.Dropout(0.25)]
    model = nn.Sequential(nn.Sequential(*layers[:2]), *layers[2:])
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


@pytest.mark.parametrize("build", [keras_model, torch_model])
def test_training_mode_normalises_by_the_batch_and_drops(build):
    handle = ModelHandle(build())
    x = np.random.default_rng(0).normal(size=(400, 4))
    calm, trained = handle.predict(x), handle.predict(x, training=True)
    assert type(calm) is type(trained) is np.ndarray
    assert not (calm == 0).mean() > 0.9
    assert 0.15 < (trained == 0).mean() < 0.35  # the dropped ones
    kept = np.where(trained, 0.75 * trained, np.nan)
    np.testing.assert_allclose(np.nanmean(kept, axis=0), 0, atol=0.2)
    np.testing.assert_allclose(np.nanstd(kept, axis=0), 1, atol=0.2)
    again = handle.predict(x)
    np.testing.assert_array_equal(again, handle.predict(x))  # evaluation mode draws nothing
    assert np.abs(calm - again).max() > 0.01  # training moved the running statistics


def test_a_model_is_used_in_the_mode_in_which_it_was_returned():
    x = np.random.default_rng(0).normal(size=(400, 4))
    model, optimizer = torch_model()
    _, norm, dropout = model.eval()
    dropout.train()
    norm.running_mean += 1
    handle = ModelHandle((model, optimizer))
    before = handle.weights()
    first, second = (handle.predict(x, None) for _ in range(2))
    assert 0.15 < (first == 0).mean() < 0.35  # the dropped ones
    assert not np.array_equal(first == 0, second == 0)
    kept = (first != 0) & (second != 0)
    np.testing.assert_array_equal(first[kept], second[kept])
    after = handle.weights()
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    np.testing.assert_allclose(0.75 * first[kept], handle.predict(x)[kept], rtol=1e-6)


@pytest.mark.parametrize("build", [keras_model, torch_model])
def test_a_new_model_is_used_in_evaluation_mode(build):
    handle, x = ModelHandle(build()), np.random.default_rng(0).normal(size=(9, 4))
    np.testing.assert_array_equal(handle.predict(x, None), handle.predict(x))


def test_keras_is_told_its_mode_whatever_was_said_at_the_building():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dropout(0.5)(inputs, training=True))
    model.compile("sgd", "mse")
    x = np.ones((9, 4), np.float32)
    np.testing.assert_array_equal(ModelHandle(model).predict(x, None), x)


def test_handle_explains_what_it_takes_in_a_report():
    with pytest.raises(AnswerError, match="pair"):
        Answer(lambda: torch_model()[0]).model()


WORD = "You say it is the variance: the training error alone is far too high."


@pytest.mark.parametrize(
    ("received", "passed", "hint"),
    [
        ("bias", True, ""),
        (np.str_("bias"), True, ""),
        ("variance", False, WORD),
        ("Bias", False, ""),
        (1, False, "Return a text."),
        (["bias"], False, "Return a text."),
    ],
)
def test_a_text_is_compared_exactly(received, passed, hint):
    answer = Answer(lambda: received)
    outcome = compare(answer(), "bias", {"variance": "variance"})
    assert (outcome.passed, WORD if outcome.mistake == "variance" else outcome.hint) == (
        passed,
        hint,
    )
    assert outcome.expected == "'bias'"


def test_a_text_where_numbers_are_expected_is_told_so():
    for expected in (3.0, np.ones(2), {"what": 1.0}):
        outcome = compare(Answer(lambda: "three")(), expected, {"none": np.zeros(2)})
        assert outcome.hint == "Return numbers, not a text."
    assert len(brief("x" * 10_000)) < 80
    inside = compare(Answer(lambda: {"what": "bias", "size": 2})(), {"what": "bias", "size": 2.0})
    assert inside.passed
