"""Submitted files: which there are, what each is called, of which chapter, with which cells?"""

import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from regbook.exercise import Chapter

SIZE_LIMIT = 64 << 20  # bytes
BESIDE_LIMIT = 8 << 20  # bytes of all files beside a notebook
ZIP = b"PK\x03\x04"  # how a zip archive begins


class UsageError(ValueError):
    """The command cannot start; the message says what was expected, what came, what to do."""


class Unreadable(ValueError):
    """A file cannot be graded; the message says why, in plain words."""


@dataclass(frozen=True)
class Submission:
    """chapters: slugs. cells: the source of each code cell, in order.

    python: the version of Python that it was written with, such as "3.13.5", or "". files: what
    lies beside it and its cells may read, by name.
    """

    chapters: list[str]
    cells: list[str]
    python: str = ""
    files: dict[str, bytes] = field(default_factory=dict)


def handed_in(folder: Path, out: Path, shard: tuple[int, int] | None = None) -> dict[str, Path]:
    """Return the paths of the submissions below a folder, by name.

    out: the folder of the report, which is left out. shard: (k, n) takes the k-th of n parts.
    Raises UsageError when there are none.
    """
    if not folder.is_dir():
        kind = (
            "is a file: for one notebook use `regbook check`" if folder.exists() else "is not there"
        )
        raise UsageError(f"SUBMISSIONS must be a folder, but {folder} {kind}.")
    if out.exists() and not out.is_dir():
        raise UsageError(f"The report must be a folder, but {out} is a file.")
    try:
        paths = {_display_name(path, folder): path for path in find(folder, leave_out=[out])}
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}.") from error
    if not paths:
        raise UsageError(f"No .ipynb file was found below {folder}.")
    return {name: path for name, path in paths.items() if _in_shard(name, shard)}


def _display_name(path, folder):
    """Return the name of a submission: its path below the folder, in printable characters."""
    name = path.relative_to(folder).as_posix().replace("\\", "\\\\")  # no two become the same
    name = name.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _in_shard(name, shard):
    return shard is None or zlib.crc32(name.encode()) % shard[1] == shard[0] - 1


def find(folder: Path, leave_out: Iterable[Path | str] = ()) -> list[Path]:
    """Return the path of every notebook and of every linked folder below `folder`, sorted.

    leave_out: folders that are not searched. Jupyter's checkpoints are never searched.
    """
    found: list[Path] = []
    left_out = {os.path.realpath(path) for path in leave_out}
    for path in sorted(Path(folder).iterdir()):
        if path.name == ".ipynb_checkpoints" or os.path.realpath(path) in left_out:
            continue
        linked = path.is_symlink()
        if path.suffix.lower() == ".ipynb" or (linked and path.is_dir()):
            found.append(path)  # a linked folder too: nothing is left out without a word
        elif path.is_dir():
            found += find(path, leave_out)
    return found


def content(path: Path) -> bytes:
    """Return the bytes of a submitted file. Raises Unreadable when there are none to have."""
    try:
        if path.is_symlink():
            raise Unreadable("a link: hand in the notebook or folder itself")
        if path.is_dir():
            raise Unreadable("a folder, not a file")
        if not path.is_file():
            raise Unreadable("not a regular file")
        size = path.stat().st_size
        if size > SIZE_LIMIT:
            raise Unreadable(
                f"too large: {size / 2**20:.0f} MiB, at most {SIZE_LIMIT >> 20} MiB are read; "
                "clear the outputs"
            )
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error


def gathered(path: Path, folder: Path | None = None) -> bytes:
    """Return the bytes of a submission: those of a notebook, or of a zip archive made here.

    The archive holds the files beside a notebook too, so that its cells can read and import them:
    where it is the only notebook of its folder, and that is not `folder`, which holds the files of
    the whole class. Links are left out, and all files if they are larger than BESIDE_LIMIT.
    Raises Unreadable.
    """
    notebook = content(path)
    try:
        others = [other for other in sorted(path.parent.iterdir()) if other != path]
        files = [other for other in others if other.is_file() and not other.is_symlink()]
        alone = not any(other.suffix.lower() == ".ipynb" for other in files)
        small = sum(other.stat().st_size for other in files) <= BESIDE_LIMIT
        if not (files and alone and small) or path.parent == folder:
            return notebook
        return _bundle(notebook, {other.name: other.read_bytes() for other in files})
    except OSError:  # a file that nobody may read, or that has just gone
        return notebook


def _bundle(notebook, files):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr(zipfile.ZipInfo("notebook"), notebook)  # no date: the same bytes again
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(f"beside/{name}"), data)
    return whole.getvalue()


def _unbundled(data):
    """Return the notebook and the files beside it from bytes that `gathered` returned."""
    if not data.startswith(ZIP):
        return data, {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = {info.filename: info for info in archive.infolist()}
            if sum(info.file_size for info in infos.values()) > SIZE_LIMIT + BESIDE_LIMIT:
                raise Unreadable("an archive that holds too much")
            notebook = archive.read(infos.pop("notebook"))
            return notebook, {n.removeprefix("beside/"): archive.read(infos[n]) for n in infos}
    except (KeyError, zipfile.BadZipFile, OSError, RuntimeError, zlib.error) as error:
        raise Unreadable("not a notebook but a zip archive: unpack it") from error


def parse(content: bytes, chapters: Mapping[str, Chapter]) -> Submission:
    """Return the Submission in the bytes of a notebook.

    chapters: the `Chapter`s by slug. Those count of which the notebook defines a function: first
    the one that it defines most of, or that its metadata name among several; then every other one
    that asks for a function which those before it do not. Raises Unreadable.
    """
    content, files = _unbundled(content)
    if not content.strip():
        raise Unreadable("an empty file")
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Unreadable("not a notebook: its text is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not a notebook: no valid JSON ({str(error)[:80]})") from error
    cells = _code(notebook)
    metadata = notebook.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    named = _inside(metadata, "regbook", "chapter")
    text = "\n".join(cells)
    pairs = re.findall(r"^[ \t]*(?:async +)?(?:def|class)\s+(\w+)|^(\w+) *=(?!=)", text, re.M)
    defined = {name for pair in pairs for name in pair}
    python = _inside(metadata, "language_info", "version")
    found = _chapters(defined, chapters, named)
    if found:
        return Submission(found, cells, python, files)
    language = _inside(metadata, "kernelspec", "language") or _inside(
        metadata, "language_info", "name"
    )
    if language and language.lower() != "python":
        raise Unreadable(f"a notebook in {language[:40]}, not in Python")
    raise Unreadable("it defines no function that an exercise of this course asks for")


def _chapters(defined, chapters, named):
    """Return the slugs of the chapters that a notebook with these definitions belongs to."""
    found = []
    while True:
        counts = {slug: len(defined & set(chapter.exercises)) for slug, chapter in chapters.items()}
        best = max(counts.values(), default=0)
        if best == 0:
            return found or [named] * (named in chapters)
        likely = [slug for slug in chapters if counts[slug] == best]
        found.append(named if named in likely else likely[0])
        defined = defined - set(chapters[found[-1]].exercises)


def _inside(metadata, section, key):
    section = metadata.get(section)
    value = section.get(key) if isinstance(section, dict) else None
    return value if isinstance(value, str) else ""


def _code(notebook):
    """Return the sources of the code cells of a parsed notebook, of format 3 or 4."""
    if not isinstance(notebook, dict):
        raise Unreadable(f"not a notebook: the file holds a {type(notebook).__name__}")
    sheets = notebook.get("worksheets")
    sheets = [notebook] if not isinstance(sheets, list) else sheets
    cells = [
        cell
        for sheet in sheets
        if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list)
        for cell in sheet["cells"]
        if isinstance(cell, dict) and cell.get("cell_type") == "code"
    ]
    if not cells:
        raise Unreadable("a notebook without code cells")
    return [_source(cell.get("source", cell.get("input", ""))) for cell in cells]


def _source(lines):
    if isinstance(lines, list):
        return "".join(line for line in lines if isinstance(line, str))
    return lines if isinstance(lines, str) else ""
