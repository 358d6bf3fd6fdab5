"""What a learner has earned: shown as a table, and kept beside the notebooks.

`make lab` makes the folder `progress` in `work/`. Where it is, each chapter keeps its points there,
so that they survive a restart of the kernel and add up to those of the course.
"""

import html
import json
import os
from pathlib import Path

from regbook.exercise import Chapter, Report, load_chapters

FOLDER = "progress"


class Message:
    """A sentence that Jupyter shows without quotation marks."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class Table(Message):
    """Points by exercise, with a sum; Jupyter shows a table, a terminal lines."""

    def __init__(self, rows: list[tuple[str, str]]) -> None:
        """rows: names with what was earned."""
        super().__init__("\n".join(": ".join(row) for row in rows))
        self._rows = rows

    def _repr_html_(self):
        rows = (
            "<tr>"
            + "".join(f'<td style="text-align: left">{html.escape(text)}</td>' for text in row)
            + "</tr>"
            for row in self._rows
        )
        return f"<table><tbody>{''.join(rows)}</tbody></table>"


class Progress:
    """The points of one chapter's exercises, and of the course as far as it is kept."""

    def __init__(self, chapter: Chapter) -> None:
        """Take up what was kept of the chapter, if anything was."""
        self._chapter = chapter
        self._points = _kept(chapter)
        self._status = {n: e.not_attempted().status for n, e in chapter.exercises.items()}
        for name, points in self._points.items():
            most = chapter.exercises[name].max_points
            self._status[name] = f"{points:g} of {most:g} points, before this session"

    def note(self, report: Report) -> None:
        """Take the latest report on an exercise for its points, and keep them."""
        self._points[report.exercise] = report.points
        self._status[report.exercise] = report.status
        if Path(FOLDER).is_dir():
            path = Path(FOLDER, f"{self._chapter.slug}.json")
            part = path.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(self._points, indent=1), encoding="utf-8")
            os.replace(part, path)  # at every moment whole

    def shown(self) -> Table:
        """Return the table of the chapter and, where it is kept, of the course."""
        rows = list(self._status.items())
        rows.append(("total", _sum(sum(self._points.values()), self._chapter)))
        if Path(FOLDER).is_dir():
            chapters = load_chapters().values()
            earned = {chapter: sum(_kept(chapter).values()) for chapter in chapters}
            rows += [(each.slug, _sum(points, each)) for each, points in earned.items() if points]
            rows.append(("course", _sum(sum(earned.values()), *chapters)))
        return Table(rows)


def _sum(points, *chapters):
    most = sum(each.max_points for chapter in chapters for each in chapter.exercises.values())
    return f"{points:g} of {most:g} points"


def _kept(chapter):
    """Return the points that were kept, by exercise; what is no such file counts as none."""
    try:
        kept = json.loads(Path(FOLDER, f"{chapter.slug}.json").read_text(encoding="utf-8"))
        return {
            name: min(float(kept[name]), exercise.max_points)
            for name, exercise in chapter.exercises.items()
            if name in kept
        }
    except (OSError, ValueError, TypeError):
        return {}
