"""Both frameworks in float64, where agreement is a matter of formulas and not of rounding."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from regbook import resnet
from regbook.notebooks import functions

ROOT = Path(__file__).parents[2]
STORED = ROOT / "appendix" / "conventions.json"
NOTED = pytest.StashKey[list]()


def pytest_addoption(parser):
    parser.addoption(
        "--write-conventions",
        action="store_true",
        help=f"run the tests that note one, and write {STORED.name} (needs --numprocesses=0)",
    )


def pytest_collection_modifyitems(config, items):
    if config.getoption("--write-conventions", False):
        items[:] = [item for item in items if "convention" in getattr(item, "fixturenames", ())]


def pytest_sessionfinish(session, exitstatus):
    if session.config.getoption("--write-conventions", False) and exitstatus == 0:
        rows = session.config.stash.get(NOTED, [])
        STORED.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def power_of_ten(number):
    """Return the smallest power of ten that is not below a number, or 0 for 0."""
    return float(f"1e{int(np.ceil(np.log10(number)))}") if number else 0.0


@pytest.fixture(scope="module")
def first_state(request):
    """Return the state of a module's generator RNG before its first test."""
    generator = getattr(request.module, "RNG", None)
    return generator and generator.bit_generator.state


@pytest.fixture(autouse=True)
def same_draws(request, first_state):
    """Let a test draw the same numbers whatever ran before it."""
    import keras

    keras.utils.set_random_seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    if first_state:
        request.module.RNG.bit_generator.state = first_state


@pytest.fixture
def slug(request):
    """Return the chapter that a module tests, such as 10_dropout for test_dropout, or ""."""
    topic = request.path.stem.removeprefix("test_")
    return next((path.stem for path in ROOT.glob(f"solutions/??_{topic}.ipynb")), "")


@pytest.fixture
def solution(slug):
    """Return a function that gives a function of the module's solution notebook by its name."""
    return lambda name: functions(ROOT / "solutions" / f"{slug}.ipynb")[name]


@pytest.fixture
def convention(request, slug):
    """Return a function that asserts a conversion rule, and notes it for the page `same_word`.

    `convention(word, keras=..., torch=..., rule=..., agreement=..., naive=...)`: keras and torch
    say in a few words (Markdown) what `word` means there, rule how to convert. agreement is the
    largest difference that was measured under the rule, naive the one under equal arguments.

    What a test notes must stand in `appendix/conventions.json`, from which the page is made: the
    words letter by letter, the naive difference within a tenth of it. The agreement is rounding
    noise, another one on another processor: the file holds a power of ten above it.
    """
    noted = []

    def convention(word, *, keras, torch, rule, agreement, naive):
        assert agreement <= 1e-8, f"{word}: the rule leaves a difference of {agreement:.1e}"
        assert naive >= 1e-5, f"{word}: equal arguments differ by {naive:.1e} only"
        row = {"chapter": slug, "test": request.node.name, "word": word}
        row |= {"keras": keras, "torch": torch, "rule": rule}
        row |= {"agreement": power_of_ten(float(agreement)), "naive": float(f"{naive:.2g}")}
        noted.append(row)

    yield convention
    if request.config.getoption("--write-conventions", False):
        request.config.stash.setdefault(NOTED, []).extend(noted)
        return
    here = (slug, request.node.name)
    stored = [
        row
        for row in json.loads(STORED.read_text(encoding="utf-8"))
        if (row["chapter"], row["test"]) == here
    ]
    numbers = ("agreement", "naive")
    words = [[{k: v for k, v in row.items() if k not in numbers} for row in rows]
             for rows in (noted, stored)]  # fmt: skip
    assert words[0] == words[1], "run `make conventions`"
    for found, row in zip(noted, stored, strict=True):
        assert found["naive"] == pytest.approx(row["naive"], rel=0.1), "run `make conventions`"


@pytest.fixture
def float64():
    """Let Keras and PyTorch compute in float64 during a test, and restore both afterwards.

    Keras still passes Python floats (rates, momentum, epsilon) through float32: use numbers
    that float32 holds exactly, such as 0.125 or 2**-10.
    """
    import keras
    import torch

    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    dtype = torch.get_default_dtype()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")  # it keeps the first floatx that it saw
    torch.set_default_dtype(torch.float64)
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)
    torch.set_default_dtype(dtype)


@pytest.fixture
def fresh_blocks():
    """Forget the Keras class of a residual block: made under another precision it keeps that."""
    resnet.keras_block.cache_clear()
    yield
    resnet.keras_block.cache_clear()
