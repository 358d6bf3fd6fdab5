"""Drawn hostile submissions cost no other submission a point: `make fuzz` tries 3,000.

Between them stands an honest one, which must get its points from the same sandbox.
"""

import json

import pytest
from grading_support import Light, need_bubblewrap, points
from hostile import case as support
from hostile import fuzz
from test_hostile import HONEST, SEED, TEXT_LIMIT, _texts

from regbook.grading import grade as grading
from regbook.grading.grade import graded
from regbook.grading.report import feedback, scores, summary


def pytest_generate_tests(metafunc):
    if "drawn" in metafunc.fixturenames:
        number = metafunc.config.getoption("fuzz")
        drawn = list(fuzz.cases(metafunc.config.getoption("fuzz_seed"), number))
        metafunc.parametrize("drawn", drawn, ids=[each.name for each in drawn])


@pytest.fixture(scope="module")
def sandbox():
    need_bubblewrap()
    with Light("bubblewrap") as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def short_limits(monkeypatch):
    monkeypatch.setattr(grading, "CELL_SECONDS", 1)
    monkeypatch.setattr(grading, "CALL_SECONDS", 1)


def test_a_drawn_submission_costs_no_other_one_a_point(drawn, sandbox):
    result, storable = graded(drawn.content, sandbox, SEED, alone=True)
    assert storable, result["status"]
    assert points(result) == drawn.deserved, result["problems"]
    texts = _texts(result)
    assert max(map(len, texts)) <= TEXT_LIMIT
    assert all(text.isprintable() for text in texts), texts
    json.dumps(result, allow_nan=False)
    for text in (feedback("x", result), summary({"x": result}), scores({"x": result})):
        text.encode()

    after, _ = graded(HONEST, sandbox, SEED, alone=True)
    assert after.get("problems") == {}, after
    assert points(after) == support.full(support.FIRST)
