"""Who handed in what: the learner, from a submission's name, and which of several attempts counts.

Sources: Moodle, mod/assign/feedback/file/importziplib.php (`is_valid_filename_for_import`); Canvas,
lib/content_zipper.rb (`get_filename`, `add_upload_submission`).
"""

import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from regbook.exercise import load_chapters
from regbook.grading.submission import Unreadable, parse

# Full Name_101_assignsubmission_file_, a folder, or with the name of the file behind it.
MOODLE = re.compile(r"([^_]*)_([0-9]{1,18})_assignsubmission_[a-z]+(?:_.*)?", re.S)
# leeann_LATE_12345_678910_10_dropout-1.ipynb: the learner, the attachment, and its copy number. An
# attachment has five digits or more, so that week_3_10_dropout.ipynb is none.
CANVAS = re.compile(
    r"(?:(.+?)_(?:LATE_)?([0-9]{1,18})|(?:LATE_)?(anon)_([0-9A-Za-z]+))"
    r"_([0-9]{5,18})_(.+)",
    re.S,
)
CANVAS_COPY = re.compile(r".*-(?P<copy>[0-9]{1,9})\.ipynb", re.I | re.S)
# The name of a notebook without what browsers and JupyterLab add to that of a copy.
NOTEBOOK = re.compile(
    r"(?P<own>.*?)(?:-Copy[0-9]+)?(?: ?\((?P<copy>[0-9]{1,9})\))?\.ipynb(?:\.txt|\.json)?",
    re.I | re.S,
)
# The book's own names, beside those of the chapters.
OURS = {"chapters", "exercises", "work"}


class Learner(NamedTuple):
    """name: as the tables show it, or "". platform: "moodle", "canvas" or "".

    number: by which the platform knows the learner. attachment: by which Canvas knows the file.
    """

    name: str
    platform: str = ""
    number: str = ""
    attachment: str = ""


class Attempt(Protocol):
    """What is asked of a file that was handed in: see `intake.Source`."""

    @property
    def refused(self) -> Exception | None: ...

    def content(self) -> bytes: ...

    def modified(self) -> float: ...


def learner(name: str) -> Learner:
    """Return who handed in a submission, from its path below the folder of the class.

    In the layouts of Moodle and Canvas it is the platform's name and number. Otherwise a notebook
    that bears a chapter's name, or is a copy of it, takes the name of its folder or archive, and
    any other one its own name without a copy number.
    """
    parts = name.split("/")
    # The leftmost is the platform's; any other is within what the learner packed.
    if found := next(filter(None, map(MOODLE.fullmatch, parts)), None):
        return Learner(f"{found[1]}_{found[2]}", "moodle", str(int(found[2])))
    if found := next(filter(None, map(CANVAS.fullmatch, parts)), None):
        who, number = found[1] or found[3], found[2] or found[4]
        return Learner(f"{who}_{number}", "canvas", number, found[5])
    notebook = NOTEBOOK.fullmatch(parts[-1])
    if not notebook:
        return Learner("")
    folders = [part.removesuffix(".zip") for part in reversed(parts[:-1])]
    return Learner(next((n for n in [notebook["own"], *folders] if not _is_ours(n)), ""))


@functools.cache
def _chapters():
    return load_chapters()


def _is_ours(name):
    return name.casefold() in OURS or name.casefold() in _chapters()


def earlier_attempts(sources: Mapping[str, Attempt]) -> dict[str, str]:
    """Return the names of attempts that do not count, with the name of the one that does.

    Attempts are notebooks of one learner with the same chapters; where no platform names the
    learner, only those of one folder whose names differ by a copy number. Of these the highest
    number counts, and of equal ones what was changed last. A notebook that cannot be read is no
    attempt. Only notebooks that others of the same learner stand beside are read.
    """
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, source in sources.items():
        notebook = NOTEBOOK.fullmatch(name.rpartition("/")[2])
        who = learner(name)
        if notebook and who.name and not source.refused:
            alike = (name.rpartition("/")[0], notebook["own"])
            found[who.platform, who.number, *(() if who.platform else alike)].append(name)
    earlier: dict[str, str] = {}
    for names in found.values():
        if len(names) > 1:
            latest = sorted(names, key=lambda name: _order(name, sources[name]), reverse=True)
            earlier |= _superseded(latest, sources)
    return earlier


def _order(name, source):
    """Return what grows from one attempt of a learner to the next."""
    attachment = learner(name).attachment  # Canvas counts them up
    last = name.rpartition("/")[2]
    copied = (attachment and CANVAS_COPY.fullmatch(last)) or NOTEBOOK.fullmatch(last)
    return int(attachment or 0), int(copied["copy"] or 0), source.modified(), name


def _superseded(latest: Iterable[str], sources: Mapping[str, Attempt]) -> dict[str, str]:
    """Return the attempts all of whose chapters are in later ones, with the latest of these."""
    counts: dict[str, str] = {}  # by chapter
    earlier = {}
    for name in latest:
        try:
            chapters = parse(sources[name].content(), _chapters()).chapters
        except Unreadable:
            continue
        if set(chapters) <= counts.keys():
            earlier[name] = counts[chapters[0]]
        counts = dict.fromkeys(chapters, name) | counts
    return earlier
