"""Both frameworks in float64, where agreement is a matter of formulas and not of rounding."""

import json
from pathlib import Path

import numpy as np
import pytest

from regbook.notebooks import read

ROOT = Path(__file__).parents[2]
CONVENTIONS = pytest.StashKey[list]()


def pytest_addoption(parser):
    parser.addoption("--conventions", help="run the tests that note one; write them here (JSON)")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--conventions", None):
        items[:] = [item for item in items if "convention" in item.fixturenames]


def pytest_sessionfinish(session):
    path = session.config.getoption("--conventions", None)
    if path:
        noted = session.config.stash.get(CONVENTIONS, [])
        Path(path).write_text(json.dumps(noted, indent=1), encoding="utf-8")


@pytest.fixture
def slug(request):
    """Return the chapter that a module tests, such as 10_dropout for test_dropout, or ""."""
    topic = request.path.stem.removeprefix("test_")
    return next((path.stem for path in ROOT.glob(f"solutions/??_{topic}.ipynb")), "")


@pytest.fixture
def solution(slug):
    """Return a function that gives a function of the module's solution notebook by its name."""

    def solution(name):
        for cell in read(ROOT / "solutions" / f"{slug}.ipynb").cells:
            if cell.cell_type == "code" and cell.source.startswith(f"def {name}("):
                space = {"np": np}
                exec(cell.source, space)
                return space[name]
        raise LookupError(f"the solution of {slug} defines no function {name}")

    return solution


@pytest.fixture
def convention(request, slug):
    """Return a function that asserts a conversion rule, and notes it for the page `same_word`.

    `convention(word, keras=..., torch=..., rule=..., agreement=..., naive=...)`: keras and torch
    say in a few words (Markdown) what `word` means there, rule how to convert. agreement is the
    largest difference that was measured under the rule, naive the one under equal arguments.
    """

    def convention(word, *, keras, torch, rule, agreement, naive):
        assert agreement <= 1e-8, f"{word}: the rule leaves a difference of {agreement:.1e}"
        assert naive >= 1e-5, f"{word}: equal arguments differ by {naive:.1e} only"
        row = {"word": word, "keras": keras, "torch": torch, "rule": rule}
        row |= {"agreement": float(agreement), "naive": float(naive)}
        row |= {"chapter": slug, "test": request.node.name}
        request.config.stash.setdefault(CONVENTIONS, []).append(row)

    return convention


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
