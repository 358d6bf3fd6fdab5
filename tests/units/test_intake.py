"""Every file that is handed in is found and told of, in folders and in archives."""

import io
import os
import socket
import zipfile

import pytest

from regbook.grading import intake
from regbook.grading.intake import LeftOut, UsageError, content, handed_in, sources
from regbook.grading.submission import Unreadable, _unbundled


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def names(folder, **options):
    return [source.name for source in sources(folder, **options)]


def told(folder):
    """Return what becomes of each file: "notebook", or what is said of it."""
    return {s.name: str(s.refused) if s.refused else "notebook" for s in sources(folder)}


def test_notebooks_are_found_at_any_depth_sorted(tmp_path):
    touch(tmp_path, "b.ipynb", "a/deep/er/x.ipynb", "a/b.IPYNB", "c.Ipynb", ".hidden/h.ipynb")
    touch(tmp_path, ".ipynb_checkpoints/b-checkpoint.ipynb", "a/.ipynb_checkpoints/x.ipynb")
    found = [".hidden/h.ipynb", "a/b.IPYNB", "a/deep/er/x.ipynb", "b.ipynb", "c.Ipynb"]
    assert names(tmp_path) == found


def test_report_inside_the_submissions_is_left_out(tmp_path):
    touch(tmp_path, "a.ipynb", "report/feedback/a.ipynb", "report2/b.ipynb")
    assert names(tmp_path, leave_out=[tmp_path / "report"]) == ["a.ipynb", "report2/b.ipynb"]
    (tmp_path / "link").symlink_to(tmp_path / "report")
    away = os.path.relpath(tmp_path / "link")
    assert names(tmp_path, leave_out=[away]) == ["a.ipynb", "report2/b.ipynb"]


def test_links_are_listed_as_submissions_and_never_followed(tmp_path):
    touch(tmp_path, "in/a.ipynb", "out/b.ipynb")
    folder = tmp_path / "in"
    (folder / "link.ipynb").symlink_to(tmp_path / "out/b.ipynb")
    (folder / "dangling.ipynb").symlink_to("nowhere")
    (folder / "loop.ipynb").symlink_to("loop.ipynb")
    (folder / "outside").symlink_to(tmp_path / "out")
    (folder / "up").symlink_to(folder)
    links = ["dangling.ipynb", "link.ipynb", "loop.ipynb", "outside", "up"]
    assert names(folder) == ["a.ipynb", *links]
    for name in links:
        with pytest.raises(Unreadable, match="a link: hand in the notebook or folder itself"):
            content(folder / name)


def test_folder_named_like_a_notebook_is_a_submission_that_cannot_be_read(tmp_path):
    touch(tmp_path, "a.ipynb/b.ipynb")
    assert names(tmp_path) == ["a.ipynb"]
    with pytest.raises(Unreadable, match="a folder, not a file"):
        content(tmp_path / "a.ipynb")


def test_content_is_the_bytes_or_a_reason(tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"\x00\xff" * 4)
    assert content(path) == b"\x00\xff" * 4
    monkeypatch.setattr(intake, "SIZE_LIMIT", 1 << 20)
    with path.open("ab") as file:
        file.truncate(1 << 20)
        assert len(content(path)) == 1 << 20
        file.truncate(3 << 20)
    with pytest.raises(Unreadable, match="too large: 3 MiB, at most 1 MiB are read; clear"):
        content(path)
    os.mkfifo(tmp_path / "pipe.ipynb")
    with pytest.raises(Unreadable, match="not a regular file"):
        content(tmp_path / "pipe.ipynb")
    with pytest.raises(Unreadable, match="not a regular file"):
        content(tmp_path / "gone.ipynb")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(tmp_path / "s.ipynb"))
        with pytest.raises(Unreadable, match="not a regular file"):
            content(tmp_path / "s.ipynb")


def test_unreadable_file_says_why(tmp_path, monkeypatch):
    touch(tmp_path, "a.ipynb")

    def refused(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "read_bytes", refused)
    with pytest.raises(Unreadable, match="cannot be read: Permission denied"):
        content(tmp_path / "a.ipynb")


def test_every_file_is_told_what_to_do(tmp_path):
    touch(tmp_path, "a.ipynb.txt", "b.ipynb.json", "c.py", "d.html", "e.pdf", "f", "g.ipynb~")
    assert told(tmp_path) == {
        "a.ipynb.txt": "notebook",
        "b.ipynb.json": "notebook",
        "c.py": "a Python file and no notebook beside it: hand in the file that ends in .ipynb",
        "d.html": "a saved web page: in JupyterLab choose File > Download, which gives the "
        "notebook: hand in the file that ends in .ipynb",
        "e.pdf": "a PDF: hand in the file that ends in .ipynb",
        "f": "no notebook: hand in the file that ends in .ipynb",
        "g.ipynb~": "no notebook: hand in the file that ends in .ipynb",
    }


def test_what_computers_leave_is_left_out(tmp_path):
    touch(tmp_path, "a/x.ipynb", "__MACOSX/a/._x.ipynb", "a/._x.ipynb", ".DS_Store", "a/Thumbs.db")
    touch(tmp_path, "a/.ipynb_checkpoints/x-checkpoint.ipynb", ".git/config")
    touch(tmp_path, "old/report.json", "old/summary.csv", "old/feedback/x.html")
    assert told(tmp_path) == {"a/x.ipynb": "notebook"}


def test_of_the_cloned_book_only_what_the_learner_wrote_is_taken(tmp_path):
    book = ["_toc.yml", "solutions/01_a.ipynb", "chapters/01_a/lesson.ipynb", "regbook/check.py"]
    touch(tmp_path, *(f"anna/{name}" for name in book))
    written = [f"anna/{name}" for name in ("chapters/01_a/exercises.ipynb", "work/01_a.ipynb")]
    touch(tmp_path, *written)
    assert names(tmp_path) == written


def test_archive_behind_a_link_or_a_pipe_is_not_opened(tmp_path):
    folder = tmp_path / "in"
    touch(folder, "x.ipynb")
    (tmp_path / "other.zip").write_bytes(zipped({"y.ipynb": b"y"}))
    (folder / "link.zip").symlink_to(tmp_path / "other.zip")
    os.mkfifo(folder / "pipe.zip")  # whoever opens it waits for ever
    found = told(folder)
    assert found.pop("link.zip") == "a link: hand in the notebook or folder itself"
    assert found == {
        "pipe.zip": "no notebook: hand in the file that ends in .ipynb", "x.ipynb": "notebook"
    }  # fmt: skip


def test_files_beside_a_notebook_belong_to_it_where_they_can_only_be_its_own(tmp_path):
    touch(tmp_path, "class.ipynb", "anna/x.ipynb", "ben/x.ipynb", "ben/y.ipynb", "chen/x.ipynb")
    touch(tmp_path, "helper.py", "anna/helper.py", "anna/data.csv", "ben/helper.py", "chen/large")
    (tmp_path / "anna/link").symlink_to(tmp_path / "helper.py")
    os.truncate(tmp_path / "chen/large", intake.BESIDE_LIMIT + 1)
    found = {source.name: source for source in sources(tmp_path)}
    beside = {n: [b.name for b in s.beside] for n, s in found.items() if s.is_notebook}
    assert beside == {
        "anna/x.ipynb": ["anna/data.csv", "anna/helper.py"], "ben/x.ipynb": [],
        "ben/y.ipynb": [], "chen/x.ipynb": [], "class.ipynb": [],
    }  # fmt: skip
    assert isinstance(found["anna/helper.py"].refused, LeftOut)
    for name in ("helper.py", "ben/helper.py", "chen/large", "anna/link"):
        assert not isinstance(found[name].refused, LeftOut), name
    notebook, files = _unbundled(found["anna/x.ipynb"].read())
    assert (notebook, files) == (b"x", {"data.csv": b"x", "helper.py": b"x"})
    assert found["anna/x.ipynb"].read() == found["anna/x.ipynb"].read()
    assert found["class.ipynb"].read() == b"x"


def zipped(members, **options):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, **options)
    return whole.getvalue()


def test_archives_are_read_without_being_unpacked(tmp_path):
    inner = zipped({"x.ipynb": b"inner", "helper.py": b"its own"})
    (tmp_path / "moodle.zip").write_bytes(
        zipped({"Anna A_1_assignsubmission_file_/x.ipynb": b"anna", "__MACOSX/._x": b"",
                "Ben_2_assignsubmission_file_/all.zip": inner, "notes.pdf": b"",
                "é/漢.ipynb": b"3"})
    )  # fmt: skip
    assert told(tmp_path) == {
        "moodle.zip/Anna A_1_assignsubmission_file_/x.ipynb": "notebook",
        "moodle.zip/Ben_2_assignsubmission_file_/all.zip/helper.py": "a file beside x.ipynb, which "
        "can read it",
        "moodle.zip/Ben_2_assignsubmission_file_/all.zip/x.ipynb": "notebook",
        "moodle.zip/notes.pdf": "a PDF: hand in the file that ends in .ipynb",
        "moodle.zip/é/漢.ipynb": "notebook",
    }
    read = {s.name.rpartition("zip/")[2]: s.read() for s in sources(tmp_path) if s.is_notebook}
    assert _unbundled(read.pop("x.ipynb")) == (b"inner", {"helper.py": b"its own"})
    assert read == {"Anna A_1_assignsubmission_file_/x.ipynb": b"anna", "é/漢.ipynb": b"3"}
    assert [path.name for path in tmp_path.iterdir()] == ["moodle.zip"]


@pytest.mark.parametrize(
    "outside", ["../../evil.ipynb", "/etc/evil.ipynb", "a\\..\\..\\evil.ipynb"]
)
def test_path_out_of_an_archive_is_refused(tmp_path, outside):
    (tmp_path / "a.zip").write_bytes(zipped({outside: b"x", "x.ipynb": b"y"}))
    found = handed_in(tmp_path, tmp_path / "out")
    (evil,) = (name for name in found if "evil" in name)
    assert ".." not in evil and evil.startswith("a.zip/") and "//" not in evil
    with pytest.raises(Unreadable, match="its path leads out of the archive"):
        found[evil].read()
    assert found["a.zip/x.ipynb"].read() == b"y"


def test_no_archive_is_a_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(intake, "MEMBERS", 20)
    monkeypatch.setattr(intake, "MEMBER_BYTES", 1 << 20)
    monkeypatch.setattr(intake, "SIZE_LIMIT", 1 << 10)
    monkeypatch.setattr(intake, "NESTED", 2)
    deep = zipped({"x.ipynb": b"x"})
    for _ in range(4):
        deep = zipped({"in.zip": deep})
    for name, data in {
        "many": zipped({f"{i}.ipynb": b"" for i in range(21)}),
        "large": zipped({f"{i}.ipynb": bytes(1 << 18) for i in range(5)}),
        "one": zipped({"x.ipynb": bytes(1 << 11)}),
        "cut": zipped({"x.ipynb": b"x" * 99})[:-30],
        "none": b"PK\x03\x04 and nothing more",
        "deep": deep,
    }.items():
        (tmp_path / f"{name}.zip").write_bytes(data)
    touch(tmp_path, "ok.ipynb")
    found = told(tmp_path)
    assert found["many.zip"].startswith("an archive of more than 20 files or")
    assert found["large.zip"].startswith("an archive of more than 20 files or")
    assert found["cut.zip"] == found["none.zip"] == "a damaged archive, or none: zip it again"
    assert "an archive in too many archives: unpack it" in found.values()
    (one,) = (s for s in sources(tmp_path) if s.name == "one.zip/x.ipynb")
    with pytest.raises(Unreadable, match="too large"):
        one.read()


def test_member_that_is_not_what_its_archive_says_is_refused(tmp_path):
    data = bytearray(zipped({"x.ipynb": b"x" * 50}))
    data[35] ^= 0xFF  # in the compressed bytes
    (tmp_path / "a.zip").write_bytes(data)
    (source,) = sources(tmp_path)
    with pytest.raises(Unreadable, match="cannot be read from its archive"):
        source.read()


def test_class_without_a_notebook_is_wrong_use(tmp_path):
    touch(tmp_path, "a.py", "b.pdf")
    with pytest.raises(UsageError, match=r"No .ipynb file was found below"):
        handed_in(tmp_path, tmp_path / "out")
