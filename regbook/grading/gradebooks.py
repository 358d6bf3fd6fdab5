"""The files that Moodle and Canvas take: the gradebook with the points, and the feedback.

The teacher's file is read, never written. Sources: Moodle, mod/assign/feedback/offline and
mod/assign/feedback/file/importziplib.php; Canvas, lib/gradebook_importer.rb and
`infer_comment_context_from_filename`, which looks for the numbers of learner and attachment.
"""

import csv
import io
import math
import os
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from regbook.grading.intake import UsageError
from regbook.grading.learners import learner
from regbook.grading.pages import feedback_path
from regbook.grading.report import write_whole
from regbook.grading.results import Marks, Result, in_order

TABLES = {"moodle": "moodle_worksheet.csv", "canvas": "canvas.csv"}
FEEDBACK = {"moodle": "moodle_feedback.zip", "canvas": "canvas_feedback.zip"}
MOODLE = ("Identifier", "Grade", "Maximum grade")
# What Canvas writes before the columns of the assignments.
STUDENT = ("Student", "LastName", "FirstName", "ID", "SIS User ID", "SIS Login ID",
           "Integration ID", "Root Account", "Section")  # fmt: skip
LISTED = 10  # sentences of a kind


@dataclass
class Gradebook:
    """A file from a platform, "moodle" or "canvas".

    rows: its cells, the header first. grade: the column to fill. learners: the rows of the
    learners, by the number that the platform gives them. most: the points that there are, by row.
    columns: those to write. delimiter, mark: how the file is written, and what it begins with.
    """

    platform: str
    path: Path
    rows: list[list[str]]
    delimiter: str
    mark: str
    grade: int = 0
    columns: list[int] = field(default_factory=list)
    learners: dict[str, list[str]] = field(default_factory=dict)
    most: dict[str, float] = field(default_factory=dict)

    def fill(self, out: Path, results: Mapping[str, Result]) -> list[str]:
        """Write the table and the feedback into the report `out`; return what to tell the teacher.

        The grade is the share of the points over all submissions of a learner that count, times
        what the platform gives at most. Learners without points keep what they have.
        """
        graded: dict[str, list[Marks]] = defaultdict(list)
        said = []
        for name, result in in_order(results):
            who = learner(name)
            if who.platform == self.platform and who.number in self.learners:
                graded[who.number] += result.get("chapters", [])
            elif "chapters" in result:
                said.append(self._stranger(name))
        for number, marks in graded.items():
            most = sum(each["max_points"] for each in marks)
            if most:
                share = sum(each["points"] for each in marks) / most
                self.learners[number][self.grade] = f"{share * self.most[number]:.2f}"
        write_whole(out / TABLES[self.platform], self._text())
        _write_feedback(out, self.platform, results)
        if len(said) > LISTED:
            said[LISTED:] = [f"And {len(said) - LISTED} more without a row."]
        return [*said, self._advice(out)]

    def _stranger(self, name):
        who = learner(name)
        if who.platform == self.platform:
            return f"{name}: {self.path} has no row for number {who.number}."
        return (
            f"{name}: its name is not as {self.platform.title()} writes it, so it fits no row of "
            f"{self.path}; its points are in summary.csv."
        )

    def _text(self):
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self.delimiter, lineterminator="\r\n")
        for row in self.rows:
            writer.writerow([row[column] for column in self.columns if column < len(row)])
        return self.mark + text.getvalue()

    def _advice(self, out):
        table, pages = out / TABLES[self.platform], out / FEEDBACK[self.platform]
        if self.platform == "moodle":
            return (
                f'Upload {table} in Moodle with "Upload grading worksheet", and {pages} with '
                '"Upload multiple feedback files in a zip".'
            )
        return (
            f'Upload {table} in the Canvas gradebook with "Import", and {pages} with "Re-Upload '
            'Submissions" in the menu of its column.'
        )


def read(path: Path, platform: str, out: Path, column: str | None = None) -> Gradebook:
    """Return the Gradebook in Moodle's grading worksheet or Canvas's export of its gradebook.

    platform: "moodle" or "canvas". out: the folder of the report. column: the title of Canvas's
    column to fill; by default the only one there is. Raises UsageError.
    """
    if path.resolve() == (out / TABLES[platform]).resolve():
        raise UsageError(f"{path} is what the report writes: give the file of the platform.")
    rows, delimiter, mark = _table(path)
    book = Gradebook(platform, path, rows, delimiter, mark)
    if platform == "moodle":
        _moodle(book)
    else:
        _canvas(book, column)
    return book


def _table(path):
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        said = "is no text in UTF-8: give it as the platform wrote it, as a CSV file."
        raise UsageError(f"{path} {said}") from error
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix(mark)
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise UsageError(f"{path} is a damaged CSV file: {error}. Download it again.") from error
    return rows or [[]], delimiter, mark


def _points(cell):
    """Return the number in a cell, NaN if there is none that is above 0."""
    try:
        number = float(cell.strip().replace(",", "."))
    except ValueError:
        return math.nan
    return number if 0 < number < math.inf else math.nan


def _add(book, number, row, most):
    if number in book.learners:
        raise UsageError(f"{book.path} has two rows for number {number}: download it again.")
    row += [""] * (book.grade + 1 - len(row))
    book.learners[number], book.most[number] = row, most


def _moodle(book):
    header = [title.strip().casefold() for title in book.rows[0]]
    missing = [title for title in MOODLE if title.casefold() not in header]
    if missing:
        raise UsageError(
            f"{book.path}: expected Moodle's grading worksheet with the columns "
            f"{', '.join(MOODLE)}; {', '.join(missing)} is missing among {_titles(book.rows[0])}. "
            "Set your language in Moodle to English, let the assignment give points and no scale, "
            "and download the worksheet again."
        )
    identifier, book.grade, maximum = (header.index(title.casefold()) for title in MOODLE)
    book.columns = list(range(max(map(len, book.rows))))
    for row in book.rows[1:]:
        found = re.search(r"([0-9]{1,18})\s*$", row[identifier]) if len(row) > identifier else None
        if not found:
            continue
        cell = row[maximum] if len(row) > maximum else ""
        most = _points(cell)
        if math.isnan(most):
            said = f"expected a maximum grade above 0; got {cell!r}"
            raise UsageError(f"{book.path}, row of {row[identifier]}: {said}.")
        _add(book, str(int(found[1])), row, most)


def _canvas(book, column):
    header = [title.strip() for title in book.rows[0]]
    missing = [title for title in ("ID", "Section") if title not in header]
    if missing:
        raise UsageError(
            f"{book.path}: expected Canvas's export of the gradebook with the columns Student, ID "
            f"and Section; {', '.join(missing)} is missing among {_titles(header)}. Export it "
            "again, in English."
        )
    book.grade = _column(book.path, header, column)
    book.columns = sorted({*(i for i, title in enumerate(header) if title in STUDENT), book.grade})
    points = [row for row in book.rows[1:] if row and "Points Possible" in row[0]]
    cell = points[0][book.grade] if points and len(points[0]) > book.grade else ""
    most = _points(cell)
    if math.isnan(most):
        said = f"expected the points possible of {header[book.grade]!r}, above 0; got {cell!r}"
        raise UsageError(f"{book.path}: {said}.")
    place = header.index("ID")
    for row in book.rows[1:]:
        if len(row) > place and row[place].strip():
            _add(book, row[place].strip(), row, most)


def _column(path, header, column):
    """Return the number of the column to fill."""
    assignments = [title for title in header if re.fullmatch(r".*\([0-9]+\)", title, re.S)]
    chosen = [column.strip()] if column else assignments
    if len(chosen) != 1 or chosen[0] not in assignments:
        which = "the column of the assignment" if column is None else f"a column {column!r}"
        raise UsageError(
            f"{path}: expected {which}; there are {_titles(assignments)}. Name one with --column."
        )
    return header.index(chosen[0])


def _titles(titles: Iterable[str]) -> str:
    return ", ".join(repr(title[:80]) for title in titles) or "none"


def _write_feedback(out, platform, results):
    """Write the archive of feedback pages, from which the platform gives each learner their own."""
    found = defaultdict(list)
    for name, result in in_order(results):
        if learner(name).platform == platform and not result.get("left_out"):
            found[learner(name).number].append(name)
    path = out / FEEDBACK[platform]
    part = path.with_name(f".part-{path.name}")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for names in found.values():
            # Who handed in something that was graded need not hear of the other files.
            names = [name for name in names if "chapters" in results[name]] or names
            for inside, name in _inside(names).items():
                page = feedback_path(out, name)
                if page.is_file():
                    info = zipfile.ZipInfo(inside)  # of 1980, so that equal pages give equal bytes
                    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                    archive.writestr(info, page.read_bytes())
    os.replace(part, path)


def _inside(names):
    """Return the submissions of one learner by the names of their pages in the archive."""
    found, count, first = {}, Counter(), learner(names[0])
    for name in names:
        file = learner(name).attachment
        start = f"{first.name}_{file}_" if file else f"{first.name}_assignsubmission_file_/"
        count[file] += 1
        found[f"{start}feedback{f'-{count[file]}' if count[file] > 1 else ''}.html"] = name
    return found
