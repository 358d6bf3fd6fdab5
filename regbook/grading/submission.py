"""What is in a submission: of which chapters is it, with which cells and files?"""

import io
import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from regbook.exercise import Chapter

SIZE_LIMIT = 64 << 20  # bytes
BESIDE_LIMIT = 8 << 20  # bytes of all files beside a notebook
ZIP = b"PK\x03\x04"  # how a zip archive begins


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


def bundle(notebook: bytes, files: Mapping[str, bytes]) -> bytes:
    """Return the bytes of a notebook, or of a zip archive of it and the files beside it.

    Without files it is the notebook itself. The same content gives the same bytes.
    """
    if not files:
        return notebook
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr(zipfile.ZipInfo("notebook"), notebook)
        for name, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(f"beside/{name}"), data)
    return whole.getvalue()


def _unbundled(data):
    """Return the notebook and the files beside it from what `bundle` returned."""
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
