"""What all tests share: the choice of one chapter."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser):
    parser.addoption("--chapter", metavar="NN", help="run what concerns this chapter only")
    parser.addoption("--seeds", metavar="N", type=int, default=5, help="tries of every answer")
    parser.addoption(
        "--fuzz", metavar="N", type=int, default=60, help="hostile submissions to draw"
    )
    parser.addoption("--fuzz-seed", metavar="SEED", type=int, default=1, help="draws others")


def pytest_configure(config):
    """Let the lesson of a chosen chapter run, which nobody has run for the book."""
    number = config.getoption("chapter", None)
    if number:
        slug = chosen(number)
        config.args[:] = [
            *(str(ROOT / "tests" / name) for name in ("autograder", "notebooks", "pairs")),
            *map(str, sorted((ROOT / "chapters" / slug).glob("*.ipynb"))),
            str(ROOT / "solutions" / f"{slug}.ipynb"),
        ]


def chosen(number):
    """Return the slug of a chapter that is given by its number."""
    slugs = sorted(path.stem for path in ROOT.glob("solutions/*.ipynb"))
    found = [slug for slug in slugs if slug.startswith(f"{number:0>2}_")]
    if not found:
        raise pytest.UsageError(f"--chapter={number}: there is none among {', '.join(slugs)}")
    return found[0]


def concerns(item, slug):
    """Tell whether a test is about a chapter: its name, or the name of its file, says so."""
    topic = slug.partition("_")[2]
    return slug in item.nodeid or f"tests/pairs/test_{topic}.py" in item.nodeid


def pytest_collection_modifyitems(config, items):
    number = config.getoption("chapter", None)
    if number:
        slug = chosen(number)
        config.hook.pytest_deselected(items=[item for item in items if not concerns(item, slug)])
        items[:] = [item for item in items if concerns(item, slug)]
