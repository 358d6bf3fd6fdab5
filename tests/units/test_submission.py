"""Every file that is handed in is found, and read or refused with a reason in plain words."""

import io
import json
import zipfile
from pathlib import Path

import nbformat
import pytest

from regbook.exercise import Chapter, load_chapters
from regbook.grading import submission
from regbook.grading.submission import Unreadable, parse


def chapter(slug, *names):
    made = Chapter(slug)
    for name in names:

        def found(answer, rng):
            """is there"""

        made.exercise(name, hints={}).check(hint="a", more="b")(found)
    return made


CHAPTERS = {
    made.slug: made
    for made in (
        chapter("01_scales", "scale", "shift", "both"),
        chapter("02_norms", "norm", "unit", "both"),
    )
}
SCALE, NORM, BOTH = (f"def {name}(x):\n    return x" for name in ("scale", "norm", "both"))


def notebook(*sources, chapter=None, **metadata):
    """Return the parsed JSON of a notebook of format 4."""
    metadata |= {"regbook": {"chapter": chapter}} if chapter else {}
    cells = [{"cell_type": "code", "source": source} for source in sources]
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def parsed(book):
    data = book if isinstance(book, bytes) else json.dumps(book).encode()
    return parse(data, CHAPTERS)


def zipped(**members):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return whole.getvalue()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (zipped(x="y"), "not a notebook but a zip archive: unpack it"),
        (zipped(notebook=b"{}")[:-9], "not a notebook but a zip archive"),
        (submission.ZIP + b"x" * 99, "not a notebook but a zip archive"),
        (zipped(notebook=b"x", more=bytes(90 << 20)), "an archive that holds too much"),
    ],
    ids=["another", "cut", "no-archive", "bomb"],
)
def test_archive_that_calls_itself_a_notebook_is_refused(data, says):
    with pytest.raises(Unreadable, match=says):
        parse(data, CHAPTERS)


@pytest.mark.parametrize(
    ("sources", "named", "slugs"),
    [
        ([SCALE], None, ["01_scales"]),
        ([NORM], None, ["02_norms"]),
        ([SCALE, NORM, "def unit(x): ..."], None, ["02_norms", "01_scales"]),  # most of it first
        ([BOTH, SCALE], "02_norms", ["01_scales"]),  # `both` is of that chapter, too
        ([SCALE], "02_norms", ["01_scales"]),  # the functions decide, not the metadata
        ([SCALE], "99_unknown", ["01_scales"]),
        ([BOTH], "02_norms", ["02_norms"]),  # the metadata decide between equals
        ([BOTH], "01_scales", ["01_scales"]),
        ([BOTH], None, ["01_scales"]),
        (["print('nothing')"], "02_norms", ["02_norms"]),
        (["norm = lambda x: x"], None, ["02_norms"]),
        (["class norm:\n    pass"], None, ["02_norms"]),
        (["async def norm(x): ..."], None, ["02_norms"]),
        (["if True:\n    def norm(x):\n        return x"], None, ["02_norms"]),
        (["%%time\ndef norm(x):\n    return x"], None, ["02_norms"]),
        (["def norm(x:\n    this is no Python"], None, ["02_norms"]),
        (["normal = 1\nscale = 2\nnorm == 3"], None, ["01_scales"]),
        (["# def norm(x)\nprint(norm)\nunit(norm)\ndef scale(x): ..."], None, ["01_scales"]),
    ],
)
def test_chapter_is_recognised_by_the_functions(sources, named, slugs):
    assert parsed(notebook(*sources, chapter=named)) == submission.Submission(slugs, sources)


def test_no_exercise_of_the_book_has_the_name_of_another():
    """Else the functions would not tell the chapter."""
    names = [name for chapter in load_chapters().values() for name in chapter.exercises]
    assert len(names) == len(set(names)) > 5


def test_notebooks_of_the_book_are_recognised():
    root = Path(__file__).parents[2]
    for slug, made in load_chapters().items():
        for path in (root / "solutions" / f"{slug}.ipynb", root / "chapters" / slug):
            path = path / "exercises.ipynb" if path.suffix == "" else path
            assert parse(path.read_bytes(), {slug: made, **CHAPTERS}).chapters == [slug]
            assert parse(path.read_bytes(), load_chapters()).chapters == [slug]


def test_older_formats_are_read():
    code = [nbformat.v3.new_code_cell(SCALE), nbformat.v3.new_code_cell(NORM)]
    text = nbformat.v3.new_text_cell("markdown", "def norm(x): ...")
    sheets = [nbformat.v3.new_worksheet(cells=[code[0], text]),
              nbformat.v3.new_worksheet(cells=[code[1]])]  # fmt: skip
    old = nbformat.v3.new_notebook(worksheets=sheets)
    assert parsed(dict(old)) == submission.Submission(["01_scales", "02_norms"], [SCALE, NORM])
    assert parsed(notebook(SCALE) | {"nbformat": 5}).cells == [SCALE]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_text_survives_with_and_without_a_byte_order_mark(encoding):
    source = f"{SCALE}  # λ 𝜆 \x00"
    data = json.dumps(notebook(source), ensure_ascii=False).encode(encoding)
    assert parsed(data).cells == [source]


def test_sources_of_any_form_become_text():
    cells = [
        {"cell_type": "code", "source": [SCALE[:5], SCALE[5:]]},
        {"cell_type": "code", "source": ["x = 1\n", 7, None, "y = 2"]},
        {"cell_type": "code", "source": {"odd": 1}},
        {"cell_type": "code"},
        {"cell_type": "code", "source": None},
        {"cell_type": "markdown", "source": NORM},
        {"cell_type": "raw", "source": NORM},
        {"source": NORM},
        "text",
        None,
    ]
    read = parsed({"cells": cells, "metadata": "odd"})
    assert read == submission.Submission(["01_scales"], [SCALE, "x = 1\ny = 2", "", "", ""])


@pytest.mark.parametrize(
    ("book", "sentence"),
    [
        (b"", "an empty file"),
        (b" \n\t", "an empty file"),
        (b"PK\x03\x04\xff\xfe", "not a notebook but a zip archive"),
        (json.dumps(notebook(SCALE)).encode("utf-16"), "not a notebook: its text is not UTF-8"),
        (b"hello", "no valid JSON"),
        (json.dumps(notebook(SCALE)).encode()[:-4], "no valid JSON"),
        (b"[" * 100_000, "no valid JSON"),
        (b"9" * 5000, "no valid JSON"),
        ([], "the file holds a list"),
        ("text", "the file holds a str"),
        (b"null", "the file holds a NoneType"),
        ({}, "a notebook without code cells"),
        ({"cells": None}, "a notebook without code cells"),
        ({"cells": {"cell_type": "code"}}, "a notebook without code cells"),
        ({"worksheets": [None, {"cells": 3}]}, "a notebook without code cells"),
        (notebook(), "a notebook without code cells"),
        (notebook("x = 1"), "no function that an exercise of this course asks for"),
        (notebook("x = 1", chapter="99_unknown"), "no function that an exercise"),
        (notebook("x <- 1", kernelspec={"language": "R"}), "a notebook in R, not in Python"),
        (notebook("x", language_info={"name": "julia"}), "a notebook in julia, not in Python"),
        (notebook("x", kernelspec={"language": "Python"}), "no function that an exercise"),
        (notebook("x", kernelspec=[1], language_info={"name": 7}), "no function that an"),
        (notebook("x", regbook={"chapter": ["01_scales"]}), "no function that an exercise"),
    ],
    ids=lambda value: f"{value}"[:40],
)
def test_what_is_no_submission_gets_a_reason(book, sentence):
    with pytest.raises(Unreadable, match=sentence):
        parsed(book)


def test_reasons_are_short_enough_for_a_table():
    for book in (b"{" + b"x" * 10**6, notebook("x", kernelspec={"language": "y" * 10**6})):
        with pytest.raises(Unreadable) as caught:
            parsed(book)
        assert len(str(caught.value)) < 200
