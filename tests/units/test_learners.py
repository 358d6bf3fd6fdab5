"""The learner is found in every layout, and of several attempts the latest counts."""

import io
import json
import os
import time
import zipfile

import pytest

from regbook.exercise import load_chapters
from regbook.grading.intake import LeftOut, handed_in, part
from regbook.grading.learners import Learner, learner

DROPOUT, ALPHA = "10_dropout", "11_alpha_dropout"


def book(*chapters):
    """Return the bytes of a notebook that answers an exercise of each of these chapters."""
    names = (next(iter(load_chapters()[slug].exercises)) for slug in chapters)
    cells = [{"cell_type": "code", "source": f"def {name}(*_): pass"} for name in names]
    return json.dumps({"cells": cells or [{"cell_type": "code"}]}).encode()


def hand_in(folder, **books):
    """Write the files of a class, each a second after the one before it."""
    for second, (name, data) in enumerate(books.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (1e9 + second, 1e9 + second))
    return folder


def zipped(**members):
    """Return an archive of members, each a minute after the one before it."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for minute, (name, data) in enumerate(members.items()):
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, minute, 0)), data)
    return whole.getvalue()


def earlier(folder, shard=None):
    """Return which notebook counts, by the attempts that do not."""
    found = part(handed_in(folder, folder / "report"), shard)
    said = {name: str(s.refused) for name, s in found.items() if isinstance(s.refused, LeftOut)}
    return {
        name: text.removeprefix("an earlier attempt: ").removesuffix(" counts")
        for name, text in said.items()
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Ada Lovelace_101_assignsubmission_file_/10_dropout.ipynb", ("Ada Lovelace_101", "101")),
        ("Ada Lovelace_101_assignsubmission_file/10_dropout.ipynb", ("Ada Lovelace_101", "101")),
        ("Ada Lovelace_101_assignsubmission_file_10_dropout.ipynb", ("Ada Lovelace_101", "101")),
        ("Team 3-Ada_7_assignsubmission_file_/x.ipynb", ("Team 3-Ada_7", "7")),
        ("Participant_101_assignsubmission_file_/x.ipynb", ("Participant_101", "101")),
        ("all.zip/漢字 é_007_assignsubmission_file_/a/b/x.pdf", ("漢字 é_007", "7")),
        ("Ada_1_assignsubmission_onlinetext_/onlinetext.html", ("Ada_1", "1")),
        # What a learner packs is nobody else's.
        ("Ben_2_assignsubmission_file_/Ada_1_assignsubmission_file_/x.ipynb", ("Ben_2", "2")),
        ("Ben_2_assignsubmission_file_Ada_1_assignsubmission_file_x.ipynb", ("Ben_2", "2")),
        ("Ben_2_assignsubmission_file_/ada_1_12345_x.ipynb", ("Ben_2", "2")),
        ("ML_2026_12345_x.zip/Ben_2_assignsubmission_file_/x.ipynb", ("Ben_2", "2")),
    ],
)
def test_learner_in_moodles_layout(name, expected):
    found = learner(name)
    assert (found.name, found.number) == expected and found.platform == "moodle"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("leeann_12345_678910_10_dropout.ipynb", ("leeann_12345", "12345", "678910")),
        ("leeann_LATE_12345_678910_10_dropout-1.ipynb", ("leeann_12345", "12345", "678910")),
        ("in.zip/lé_a_7_678910_x.ipynb", ("lé_a_7", "7", "678910")),
        ("leeann_12345_678910_all.zip/a/x.ipynb", ("leeann_12345", "12345", "678910")),
        ("anon_aB3d5_678910_x.ipynb", ("anon_aB3d5", "aB3d5", "678910")),
        ("LATE_anon_aB3d5_678910_x.ipynb", ("anon_aB3d5", "aB3d5", "678910")),
        ("ben_2_99999_ada_1_12345_x.ipynb", ("ben_2", "2", "99999")),
        ("ben_2_99999_a.zip/ada_1_12345_x.ipynb", ("ben_2", "2", "99999")),
    ],
)
def test_learner_in_canvas_layout(name, expected):
    assert learner(name) == Learner(expected[0], "canvas", *expected[1:])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("anna.ipynb", "anna"),
        ("week-3/anna.ipynb", "anna"),
        ("week-3/late/chen.ipynb", "chen"),
        ("10_dropout/anna.ipynb", "anna"),
        ("anna/10_dropout.ipynb", "anna"),
        ("anna/10_Dropout (2).IPYNB", "anna"),
        ("anna/10_dropout-Copy1 (2).ipynb.txt", "anna"),
        ("anna/10_dropout/exercises.ipynb", "anna"),
        ("anna.zip/chapters/10_dropout/exercises.ipynb", "anna"),
        ("class.zip/anna/work/11_alpha_dropout.ipynb.json", "anna"),
        ("anna(1).ipynb", "anna"),
        ("anna (12).ipynb", "anna"),
        ("anna-Copy3.ipynb", "anna"),
        ("漢字.ipynb", "漢字"),
        ("week_3_10_dropout.ipynb", "week_3_10_dropout"),  # of Canvas neither
        ("anna_1_assignsubmission.ipynb", "anna_1_assignsubmission"),
        ("10_dropout.ipynb", ""),
        ("10_dropout/exercises (3).ipynb", ""),
        ("helper.py", ""),
        ("anna/notes.pdf", ""),
        (".ipynb", ""),
        ("(1).ipynb", ""),
    ],
)
def test_learner_elsewhere(name, expected):
    assert learner(name) == Learner(expected)


@pytest.mark.parametrize("character", ["_", "1", "_1", "-Copy1", "(1)", " (1", "/", "\n", "\\x"])
def test_no_name_takes_long(character):
    start = time.process_time()
    learner(character * 60_000 + "_assignsubmission_(1).ipynb")
    learner("a_1_assignsubmission_file_" + character * 60_000)
    assert time.process_time() - start < 5  # it takes milliseconds; not minutes


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("anna.ipynb", "anna (1).ipynb"),
        ("anna(2).ipynb", "anna(10).ipynb"),
        ("anna/10_dropout.ipynb", "anna/10_dropout(1).ipynb"),
        ("A_1_assignsubmission_file_/10_dropout.ipynb", "A_1_assignsubmission_file_/mine.ipynb"),
        ("one/A_1_assignsubmission_file_/x.ipynb", "two/G-A_1_assignsubmission_file_x.ipynb"),
        ("lee_5_10000_x.ipynb", "lee_LATE_5_10001_y.ipynb"),
        ("lee_5_99999_x.ipynb", "lee_5_100000_x.ipynb"),
        ("lee_5_10000_x-9.ipynb", "lee_5_10000_x-10.ipynb"),
        ("anna-Copy1.ipynb", "anna.ipynb"),  # whatever it is called, it was changed last
        ("anna.ipynb", "anna-Copy1.ipynb"),
    ],
)
def test_latest_attempt_counts(tmp_path, first, last):
    hand_in(tmp_path, **{first: book(DROPOUT), "zoe.ipynb": book(DROPOUT), last: book(DROPOUT)})
    assert earlier(tmp_path) == {first: last}


@pytest.mark.parametrize(
    ("first", "last"),
    [("anna.ipynb", "anna (1).ipynb"), ("lee_5_10000_x.ipynb", "lee_5_10001_x.ipynb")],
)
def test_number_of_a_copy_counts_before_the_time(tmp_path, first, last):
    hand_in(tmp_path, **{last: book(DROPOUT), first: book(DROPOUT)})
    assert earlier(tmp_path) == {first: last}


def test_number_counts_where_canvas_attachment_is_the_same(tmp_path):
    """As in an archive that was handed in."""
    names = ["lee_5_10000_a.zip/x-1.ipynb", "lee_5_10000_a.zip/x.ipynb"]
    data = zipped(**{name.rpartition("/")[2]: book(DROPOUT) for name in names})
    hand_in(tmp_path, **{"lee_5_10000_a.zip": data})
    assert earlier(tmp_path) == {names[1]: names[0]}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("anna/10_dropout.ipynb", "ben/10_dropout.ipynb"),
        ("10_dropout.ipynb", "10_dropout (1).ipynb"),  # from two mails, of whoever
        ("anna.ipynb", "late/anna.ipynb"),
        ("anna.ipynb", "anna2.ipynb"),
        ("anna-1.ipynb", "anna.ipynb"),
        ("A_1_assignsubmission_file_/x.ipynb", "A_2_assignsubmission_file_/x.ipynb"),
        ("lee_5_10000_x.ipynb", "lee_6_10001_x.ipynb"),
    ],
)
def test_nobody_loses_to_another_learner(tmp_path, one, other):
    hand_in(tmp_path, **{one: book(DROPOUT), other: book(DROPOUT)})
    assert earlier(tmp_path) == {}


def test_attempts_in_archives_are_ordered_by_the_time_there(tmp_path):
    name = "A_1_assignsubmission_file_/{}.ipynb".format
    packed = zipped(**{name("b"): book(DROPOUT), name("a"): book(DROPOUT)})
    hand_in(tmp_path, **{"first.zip": packed, f"second/{name('c')}": book(DROPOUT)})
    counts = f"first.zip/{name('a')}"  # of 2026; the other one of 2001
    assert earlier(tmp_path) == dict.fromkeys([f"first.zip/{name('b')}", f"second/{name('c')}"],
                                              counts)  # fmt: skip


def test_attempt_counts_for_what_later_ones_leave_open(tmp_path):
    name = "A_1_assignsubmission_file_/{}.ipynb".format
    hand_in(
        tmp_path,
        **{name(0): book(ALPHA), name(1): book(DROPOUT, ALPHA), name(2): book(DROPOUT)},
        **{name(3): b"not a notebook", name(4): b""},
    )
    assert earlier(tmp_path) == {name(0): name(1)}
    found = handed_in(tmp_path, tmp_path / "report")
    assert found[name(3)].refused is None  # it is told of, as any file that cannot be read


@pytest.mark.parametrize("damaged", [b"", b"{}", b"PK\x03\x04", b"\xff", b"[" * 100_000])
def test_attempt_before_an_unreadable_one_counts(tmp_path, damaged):
    hand_in(tmp_path, **{"a.ipynb": book(DROPOUT), "a (1).ipynb": book(DROPOUT), "a (2).ipynb":
                         damaged})  # fmt: skip
    assert earlier(tmp_path) == {"a.ipynb": "a (1).ipynb"}


def test_file_that_is_no_notebook_is_no_attempt(tmp_path):
    folder = "A_1_assignsubmission_file_"
    hand_in(tmp_path, **{f"{folder}/x.ipynb": book(DROPOUT), f"{folder}/x.pdf": b"", "b.ipynb":
                         book(DROPOUT)})  # fmt: skip
    (tmp_path / "b (1).ipynb").symlink_to("b.ipynb")
    (tmp_path / "b (2).ipynb").mkdir()
    assert [name for name in earlier(tmp_path) if name.endswith(".ipynb")] == []


def test_shards_agree_about_the_attempts(tmp_path):
    names = [f"{who}{copy}.ipynb" for who in "abcdefgh" for copy in ("", " (1)", " (2)")]
    hand_in(tmp_path, **{name: book(DROPOUT) for name in names})
    shards = [earlier(tmp_path, (k, 3)) for k in (1, 2, 3)]
    assert all(shards)
    assert shards[0] | shards[1] | shards[2] == earlier(tmp_path) == {
        f"{who}{copy}.ipynb": f"{who} (2).ipynb" for who in "abcdefgh" for copy in ("", " (1)")
    }  # fmt: skip


def test_only_notebooks_that_have_company_are_read(tmp_path, monkeypatch):
    hand_in(tmp_path, **{f"{i}.ipynb": book(DROPOUT) for i in range(50)}, **{"7 (1).ipynb":
            book(DROPOUT)})  # fmt: skip
    read = []
    whole = type(tmp_path).read_bytes
    monkeypatch.setattr(
        type(tmp_path), "read_bytes", lambda path: read.append(path.name) or whole(path)
    )
    assert earlier(tmp_path) == {"7.ipynb": "7 (1).ipynb"}
    assert sorted(read) == ["7 (1).ipynb", "7.ipynb"]


def test_time_that_no_calendar_knows_is_the_earliest(tmp_path):
    data = bytearray(zipped(**{"a/x.ipynb": book(DROPOUT)}))
    central = data.rindex(b"PK\x01\x02")
    data[central + 12 : central + 16] = b"\xff\xff\x00\x00"  # day 0 of month 0, at 31:63:62
    (tmp_path / "in").mkdir()
    (tmp_path / "in/c.zip").write_bytes(bytes(data))
    (source,) = handed_in(tmp_path / "in", tmp_path / "report").values()
    assert source.modified() == 0
