"""What was handed in: every file below a folder, and every file in the archives there.

Nothing is unpacked onto the disk, so no archive can write anywhere. What is no notebook is listed
too, with what to do: nothing that a learner handed in disappears without a word.
"""

import functools
import io
import os
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from regbook.grading.learners import earlier_attempts
from regbook.grading.submission import BESIDE_LIMIT, SIZE_LIMIT, Unreadable, bundle

NOTEBOOK = (".ipynb", ".ipynb.txt", ".ipynb.json")  # browsers and mail programs add an ending
# What computers leave beside the files of a learner.
JUNK = {".ipynb_checkpoints", "__MACOSX", ".git", ".DS_Store", "Thumbs.db", "desktop.ini"}
OTHERS = {
    ".html": "a saved web page: in JupyterLab choose File > Download, which gives the notebook",
    ".py": "a Python file and no notebook beside it",
    ".pdf": "a PDF",
}
MEMBERS, MEMBER_BYTES = 10_000, 4 << 30  # that an archive may hold
NESTED = 3  # archives in one another


class UsageError(ValueError):
    """The command cannot start; the message says what was expected, what came, what to do."""


class LeftOut(Unreadable):
    """A file that is not graded, and that nobody expects to be."""


@dataclass(frozen=True)
class Source:
    """One file that was handed in.

    name: its path below the folder of the class. path: the file, or the archive that holds it.
    members: its name in that archive, after those of the archives in between. size: in bytes.
    beside: the files that belong to a notebook. refused: what is raised instead of reading it.
    """

    name: str
    path: Path
    members: tuple[str, ...] = ()
    size: int = 0
    beside: tuple["Source", ...] = ()
    refused: Unreadable | None = None

    @property
    def is_notebook(self) -> bool:
        """Whether its name says so."""
        return self.name.lower().endswith(NOTEBOOK)

    def content(self) -> bytes:
        """Return its bytes. Raises Unreadable when there are none to have."""
        if self.refused:
            raise self.refused
        return _member(self.path, self.members) if self.members else content(self.path)

    def modified(self) -> float:
        """Return when it was changed last, in seconds since 1970; 0 where that is not known."""
        try:
            if not self.members:
                return self.path.stat().st_mtime
            info = _archive(self.path, self.members[:-1]).getinfo(self.members[-1])
            return datetime(*info.date_time).timestamp()
        except (OSError, ValueError, OverflowError, Unreadable):
            return 0.0

    def read(self) -> bytes:
        """Return the bytes of a submission: of a notebook, or of a bundle with what is beside it.

        Raises Unreadable.
        """
        files = {PurePosixPath(other.name).name: other.content() for other in self.beside}
        return bundle(self.content(), files)


def handed_in(folder: Path, out: Path) -> dict[str, Source]:
    """Return the files below a folder by name, which consists of printable characters.

    out: the folder of the report, which is left out. An attempt before the one that counts is
    refused. Raises UsageError when there is no notebook.
    """
    if not folder.is_dir():
        kind = (
            "is a file: for one notebook use `regbook check`" if folder.exists() else "is not there"
        )
        raise UsageError(f"SUBMISSIONS must be a folder, but {folder} {kind}.")
    if out.exists() and not out.is_dir():
        raise UsageError(f"The report must be a folder, but {out} is a file.")
    try:
        found = list(sources(folder, leave_out=[out]))
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}.") from error
    if not any(source.is_notebook for source in found):
        raise UsageError(f"No .ipynb file was found below {folder}.")
    named = {_printable(source.name): source for source in found}
    for name, counts in earlier_attempts(named).items():
        said = LeftOut(f"an earlier attempt: {counts} counts")
        named[name] = replace(named[name], refused=said)
    return named


def part(sources: Mapping[str, Source], shard: tuple[int, int] | None) -> dict[str, Source]:
    """Return the k-th of n parts of what was handed in, for a shard (k, n); all without one."""
    return {
        name: source
        for name, source in sources.items()
        if shard is None or zlib.crc32(name.encode()) % shard[1] == shard[0] - 1
    }


def _printable(name):
    name = name.replace("\\", "\\\\")  # no two become the same
    name = name.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def alone(path: Path) -> Source:
    """Return the Source of one notebook, with the files beside it that belong to it."""
    found = _related(_folder(path.parent, ()), own=True)
    return next((s for s in found if s.path == path and s.is_notebook), Source(path.name, path))


def sources(folder: Path, leave_out: Iterable[Path | str] = ()) -> Iterator[Source]:
    """Yield every file below a folder, sorted: see `_related`. leave_out: folders not searched."""
    left_out = {os.path.realpath(path) for path in leave_out}
    found: list[Source] = []
    for source in _below(folder, folder, left_out):
        is_archive = source.name.lower().endswith(".zip") and _is_file(source)
        found += _members(source) if is_archive else [source]
    yield from _related(found)


def _folder(folder, left_out):
    return [
        Source(path.name, path, size=path.stat().st_size if path.is_file() else 0)
        for path in sorted(folder.iterdir())
        if not _is_junk(path.name) and os.path.realpath(path) not in left_out
    ]


def _below(folder, top, left_out):
    """Yield the files below a folder. Links are listed, never followed."""
    inside = _folder(folder, left_out)
    if {"report.json", "summary.csv", "feedback"} <= {source.name for source in inside}:
        return  # a report of ours
    if {"_toc.yml", "chapters", "solutions"} <= {source.name for source in inside}:
        # This book, cloned: what the learner wrote is in these.
        inside = [s for s in inside if s.name in ("chapters", "work")]
    for source in inside:
        path = source.path
        if path.is_dir() and not path.is_symlink() and path.suffix.lower() != ".ipynb":
            yield from _below(path, top, left_out)
        elif not (path.name == "lesson.ipynb" and path.parent.parent.name == "chapters"):
            yield replace(source, name=path.relative_to(top).as_posix())


def _is_junk(name):
    return name in JUNK or name.startswith("._")


# --- archives ------------------------------------------------------------------------------------


def _members(source):
    """Return the files in an archive, or the archive itself with the reason why there are none."""
    try:
        archive = _archive(source.path, source.members)
        infos = [info for info in archive.infolist() if not info.is_dir()]
        if len(infos) > MEMBERS or sum(info.file_size for info in infos) > MEMBER_BYTES:
            raise Unreadable(
                f"an archive of more than {MEMBERS:,} files or {MEMBER_BYTES >> 30} GiB"
            )
        if len(source.members) >= NESTED:
            raise Unreadable("an archive in too many archives: unpack it")
    except Unreadable as error:
        return [replace(source, refused=error)]
    found = []
    for info in sorted(infos, key=lambda info: info.filename):
        parts = PurePosixPath(info.filename.replace("\\", "/")).parts
        if any(_is_junk(part) for part in parts):
            continue
        name = "/".join([source.name, *(part.strip("/") or "_" for part in parts)])
        member = Source(name, source.path, (*source.members, info.filename), info.file_size)
        if ".." in parts or PurePosixPath(info.filename).is_absolute():
            name = name.replace("..", "__")
            outside = Unreadable("its path leads out of the archive")
            found.append(replace(member, name=name, refused=outside))
        elif name.lower().endswith(".zip"):
            found += _members(member)
        else:
            found.append(member)
    return found


@functools.lru_cache(maxsize=8)
def _archive(path, members):
    """Return the open archive at a path, or the one in it. Raises Unreadable."""
    try:
        return zipfile.ZipFile(io.BytesIO(_member(path, members)) if members else path)
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise Unreadable("a damaged archive, or none: zip it again") from error


def _member(path, members):
    """Return the bytes of a file in an archive. Raises Unreadable."""
    archive = _archive(path, members[:-1])
    info = archive.getinfo(members[-1])
    _bounded(info.file_size)
    if info.flag_bits & 1:
        raise Unreadable("protected by a password")
    try:
        return archive.read(info)
    except (zipfile.BadZipFile, OSError, RuntimeError, ValueError, EOFError, zlib.error) as error:
        raise Unreadable("it cannot be read from its archive: zip it again") from error


# --- files ---------------------------------------------------------------------------------------


def _related(found: Iterable[Source], own: bool = False) -> list[Source]:
    """Say of each file what it is: a notebook, what belongs to one, or what to do about it.

    Files belong to a notebook when it is the only one of its folder, and that is not the folder of
    the whole class (unless `own`), and when they are small. Then its cells can read them.
    """
    folders = defaultdict(list)
    for source in found:
        folders[source.name.rpartition("/")[0]].append(source)
    told = []
    for parent, inside in folders.items():
        books = [source for source in inside if source.is_notebook]
        files = [s for s in inside if not s.is_notebook and not s.refused and _is_file(s)]
        small = sum(source.size for source in files) <= BESIDE_LIMIT
        belong = tuple(files) if len(books) == 1 and (parent or own) and small else ()
        for source in inside:
            if source.is_notebook:
                told.append(replace(source, beside=belong))
            elif source in belong:
                said = f"a file beside {PurePosixPath(books[0].name).name}, which can read it"
                told.append(replace(source, refused=LeftOut(said)))
            else:
                told.append(source if source.refused else replace(source, refused=_advice(source)))
    return sorted(told, key=lambda source: source.name)


def _is_file(source):
    return bool(source.members) or (source.path.is_file() and not source.path.is_symlink())


def _advice(source):
    if source.path.is_symlink():
        return Unreadable("a link: hand in the notebook or folder itself")
    what = OTHERS.get(PurePosixPath(source.name).suffix.lower(), "no notebook")
    return Unreadable(f"{what}: hand in the file that ends in .ipynb")


def _bounded(size):
    if size > SIZE_LIMIT:
        raise Unreadable(
            f"too large: {size / 2**20:.0f} MiB, at most {SIZE_LIMIT >> 20} MiB are read; "
            "clear the outputs"
        )


def content(path: Path) -> bytes:
    """Return the bytes of a submitted file. Raises Unreadable when there are none to have."""
    try:
        if path.is_symlink():
            raise Unreadable("a link: hand in the notebook or folder itself")
        if path.is_dir():
            raise Unreadable("a folder, not a file")
        if not path.is_file():
            raise Unreadable("not a regular file")
        _bounded(path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error
