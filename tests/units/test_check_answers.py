"""What grading adds to the checks: dicts as answers, stops, stored reports, a model's layers."""

import json
import re
from dataclasses import asdict

import keras
import numpy as np
import pytest
import torch
from torch import nn

from regbook.exercise import (
    Answer,
    AnswerError,
    Chapter,
    Outcome,
    Report,
    Stopped,
    Wrong,
    brief,
    compare,
    load_chapter,
    load_chapters,
)
from regbook.model_handle import ModelHandle

chapter = Chapter("00_moments")
SWAPPED = "You swapped mean and scale."


@chapter.check("moments", points=2, hint="Use mean and std.", more="x.mean(), x.std()")
def names_both(answer, rng):
    """has the mean and the scale"""
    x = rng.normal(size=5)
    right = {"mean": x.mean(), "scale": x.std()}
    wrong = [Wrong("swapped", {"mean": x.std(), "scale": x.mean()}, SWAPPED)]
    return compare(answer(x), right, wrong)


@chapter.check("moments", hint="A constant has no scale.", more="x.std() is 0.")
def of_a_constant(answer, rng):
    """has the scale 0 for a constant"""
    return compare(answer(np.full(4, 2.0)), {"mean": 2.0, "scale": 0.0})


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
        (lambda x: {"mean": x, "scale": x.std()}, r"mean: The shape must be \(\); yours is \(5,\)"),
        (lambda x: {"mean": np.nan, "scale": x.std()}, "mean: The answer holds NaN"),
        (lambda x: {"mean": (1, 2), "scale": {"a": 1}}, "mean: Return one value; yours returns 2"),
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
    assert re.fullmatch("'?a'?: 0.5; '?b'?: 2 values", brief({"a": np.array(0.5), "b": (1, 2)}))
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
               chapter.not_attempted("moments"), Report("x", [], 2, hint=2)]  # fmt: skip
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
        assert loaded.checks
        assert load_chapter(slug) is loaded


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


def test_configuration_shows_the_settings_of_each_layer():
    dense, norm, dropout = ModelHandle(keras_model()).configuration()
    assert (dense["type"], dense["units"], dense["activation"]) == ("Dense", 3, "relu")
    assert (norm["type"], norm["momentum"]) == ("BatchNormalization", 0.75)
    assert (dropout["type"], dropout["rate"]) == ("Dropout", 0.25)
    linear, relu, norm, dropout = ModelHandle(torch_model()).configuration()
    assert (linear["type"], linear["in_features"], linear["out_features"]) == ("Linear", 4, 3)
    assert relu["type"] == "ReLU"
    assert (norm["type"], norm["momentum"], norm["eps"]) == ("BatchNorm1d", 0.25, 1e-5)
    assert (dropout["type"], dropout["p"]) == ("Dropout", 0.25)


@pytest.mark.parametrize("build", [keras_model, torch_model])
def test_configuration_is_plain_data(build):
    settings = ModelHandle(build()).configuration()
    assert json.loads(json.dumps(settings)) == settings
    assert not any(key.startswith("_") for layer in settings for key in layer)


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
    outcome = compare(answer(), "bias", [Wrong("variance", "variance", WORD)])
    assert (outcome.passed, outcome.hint) == (passed, hint)
    assert outcome.expected == "'bias'"


def test_a_text_where_numbers_are_expected_is_told_so():
    for expected in (3.0, np.ones(2), {"what": 1.0}):
        outcome = compare(Answer(lambda: "three")(), expected, [Wrong("none", np.zeros(2), "?")])
        assert outcome.hint == "Return numbers, not a text."
    assert len(brief("x" * 10_000)) < 80
    inside = compare(Answer(lambda: {"what": "bias", "size": 2})(), {"what": "bias", "size": 2.0})
    assert inside.passed
