"""The class at a glance: the page of a report that tells a teacher where to look."""

import base64
import hashlib
import html
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from regbook.exercise import Report, Row
from regbook.exercise.report import rounded
from regbook.grading import alike
from regbook.grading.pages import feedback_path, page
from regbook.grading.results import Marks, Result, exercise_status, in_order, percent

TENTHS = 10
MISTAKES = 10  # of a chapter that are shown
LEARNERS = 20  # with one mistake, or alike, who are shown at once
GROUPS = 50  # of submissions that are alike
SLOWEST = 10  # submissions
HEIGHT, WIDTH, GAP = 120, 36, 8  # of a bar, in pixels

# A click on the head of a column sorts by it; a second one turns the order round.
SCRIPT = """
for (const head of document.querySelectorAll("table.sortable th")) {
  head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    const body = head.closest("table").tBodies[0];
    const value = (row) => row.cells[head.cellIndex].textContent;
    const order = new Intl.Collator(undefined, { numeric: true });
    const rows = [...body.rows].sort((a, b) => order.compare(value(a), value(b)));
    body.append(...(up ? rows : rows.reverse()));
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
  });
}
"""
OVERVIEW_STYLE = """
td, th { text-align: left; }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
th button { font: inherit; font-weight: bold; border: 0; background: none; padding: 0; }
th button { cursor: pointer; color: inherit; text-align: left; }
th[aria-sort="ascending"] button::after { content: " \\2191"; }
th[aria-sort="descending"] button::after { content: " \\2193"; }
.wide { overflow-x: auto; }
figure { margin: 1rem 0; }
svg { max-width: 100%; height: auto; }
svg rect { fill: #0072b2; }
svg text { fill: currentColor; font: 12px system-ui, sans-serif; text-anchor: middle; }
"""


def overview(out: Path, results: Mapping[str, Result]) -> str:
    """Return index.html: points, exercises and mistakes of every chapter, and every submission.

    out: the folder of the report; the page links to the feedback that lies in it.
    """
    chapters: dict[str, _Chapter] = defaultdict(_Chapter)
    failed, rows, seconds = [], [], {}
    prints: dict[str, Mapping[str, str]] = {}
    for name, result in in_order(results):  # once, as each has to be unpacked
        if "chapters" not in result:
            if not result.get("left_out"):
                failed.append([_link(out, name), html.escape(result["status"])])
            continue
        for marks in result["chapters"]:
            chapters[marks["chapter"]].add(name, marks)
            rows.append(_submission(out, name, result["status"], marks))
        prints[name] = result.get("fingerprints", {})
        if "seconds" in result:
            seconds[name] = result["seconds"]
    parts = [f"<p>{len(prints)} submissions were graded, {len(failed)} could not be graded.</p>"]
    if failed:
        parts += ["<h2>Could not be graded</h2>", _table(["submission", "why"], sorted(failed))]
    for slug, chapter in sorted(chapters.items()):
        parts += [f"<h2>Chapter {html.escape(slug)}</h2>", _distribution(chapter.tenths)]
        parts += ["<h3>Exercises</h3>", _exercises(chapter.tallies)]
        parts += ["<h3>Most frequent mistakes</h3>", _mistakes(out, chapter.mistaken)]
    parts += [_alike(out, prints, chapters), _slowest(out, seconds)]
    heads = ["submission", "chapter", "points", "of", "per cent", "status"]
    parts += ["<h2>Submissions</h2>", _table(heads, rows), f"<script>{SCRIPT}</script>"]
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return page("The class at a glance", parts, OVERVIEW_STYLE, f"script-src 'sha256-{digest}'; ")


@dataclass
class _Tally:
    """What a class made of one exercise. counting: submissions in which it has a weight."""

    attempted: int = 0
    full: int = 0
    counting: int = 0
    points: float = 0.0
    most: float = 0.0

    def add(self, report: Report) -> None:
        self.attempted += bool(report.rows)
        self.full += exercise_status(report) == "full marks"
        if report.weight:
            points, most = report.counted
            self.counting += 1
            self.points += points
            self.most += most


class _Chapter:
    """What a class made of one chapter.

    tenths: how many submissions earned so many tenths of the points. mistaken: the submissions
    with a mistake, by exercise, mistake and hint.
    """

    def __init__(self) -> None:
        self.tenths = [0] * (TENTHS + 1)
        self.tallies: dict[str, _Tally] = defaultdict(_Tally)
        self.mistaken: dict[tuple[str, str, str], dict[str, bool]] = defaultdict(dict)

    def add(self, name: str, marks: Marks) -> None:
        tenth = int(TENTHS * marks["points"] / (marks["max_points"] or 1))
        self.tenths[min(tenth, TENTHS)] += 1  # a teacher may give more points than there are
        for report in map(Report.from_dict, marks["exercises"]):
            self.tallies[report.exercise].add(report)
            for row in filter(_is_named, report.rows):
                self.mistaken[report.exercise, row.outcome.mistake, row.outcome.hint][name] = True


def _link(out, name):
    path = feedback_path(out, name).relative_to(out).as_posix()
    return f'<a href="{quote(path)}">{html.escape(name)}</a>'


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table that can be sorted; cells are HTML, and numbers stand at the right."""

    def cell(text):
        number = text.replace(".", "", 1).isdecimal()
        return f'<td class="number">{text}</td>' if number else f"<td>{text}</td>"

    head = "".join(f'<th scope="col"><button type="button">{h}</button></th>' for h in heads)
    body = "\n".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return (
        f'<div class="wide"><table class="sortable"><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _distribution(counts: list[int]) -> str:
    """Return a histogram of the points, in tenths of what can be earned, also in words."""
    names = [f"{10 * i}–{10 * i + 9} %" for i in range(TENTHS)] + ["100 %"]
    said = ", ".join(f"{name}: {count}" for name, count in zip(names, counts, strict=True) if count)
    bars = []
    for i, count in enumerate(counts):
        x, height = i * (WIDTH + GAP), HEIGHT * count / max(counts)
        middle = x + WIDTH / 2
        bars.append(
            f'<rect x="{x}" y="{20 + HEIGHT - height:.1f}" width="{WIDTH}" height="{height:.1f}"/>'
            f'<text x="{middle:g}" y="{15 + HEIGHT - height:.1f}">{count or ""}</text>'
            f'<text x="{middle:g}" y="{HEIGHT + 36}">{10 * i}</text>'
        )
    width = len(names) * (WIDTH + GAP)
    return (
        f'<figure><svg viewBox="0 0 {width} {HEIGHT + 44}" width="{width}" role="img" '
        f'aria-label="Submissions by points: {said}">{"".join(bars)}</svg>'
        "<figcaption>Number of submissions by the share of the points that they earned, in per "
        "cent: from 0, from 10, and so on; the last bar is full marks.</figcaption></figure>"
    )


def _exercises(tallies: Mapping[str, _Tally]) -> str:
    rows = []
    for name, tally in tallies.items():
        points, most = (
            rounded(each) / (tally.counting or 1) for each in (tally.points, tally.most)
        )
        numbers = f"{tally.attempted}", f"{tally.full}", f"{points:.1f}", f"{rounded(most):g}"
        rows.append([name, *numbers])
    return _table(["exercise", "attempted", "full marks", "mean points", "of"], rows)


def _is_named(row: Row) -> bool:
    """Tell whether a mistake is known by name, and not only by the check that failed."""
    return not row.outcome.passed and row.outcome.mistake not in (
        row.check,
        "form",
        "error",
        "endless",
    )


def _mistakes(out, mistaken: Mapping[tuple[str, str, str], Collection[str]]) -> str:
    found = sorted(mistaken.items(), key=lambda item: (-len(item[1]), item[0]))[:MISTAKES]
    if not found:
        return "<p>None that is known by name.</p>"
    rows = [
        [f"{len(names)}", exercise, html.escape(hint), _who(out, names)]
        for (exercise, _, hint), names in found
    ]
    return _table(["submissions", "exercise", "what they are told", "who"], rows)


def _who(out, names: Iterable[str]) -> str:
    """Return links to the feedback of some submissions; of many, the first ones at once."""
    links = [_link(out, name) for name in names]
    shown = ", ".join(links[:LEARNERS])
    if len(links) > LEARNERS:
        more = ", ".join(links[LEARNERS:])
        shown += f"<details><summary>{len(links) - LEARNERS} more</summary>{more}</details>"
    return shown


def _alike(out, prints: Mapping[str, Mapping[str, str]], slugs: Iterable[str]) -> str:
    """Return what submissions have in common with each other, and with the published solution."""
    solved: dict[str, str] = {}
    for slug in slugs:
        solved |= alike.published(slug)
    public, own = {}, {}
    for name, found in prints.items():
        public[name] = [each for each, digest in found.items() if solved.get(each) == digest]
        own[name] = {each: found[each] for each in found.keys() - public[name]}
    parts = [
        '<section id="alike">\n<h2>Alike</h2>\n<p>Functions that are equal except for names, '
        "comments, annotations and order. Learners may have worked together, or from one source: "
        "ask before you conclude. Short functions are often equal by chance, so only those of "
        f"{alike.LEAST} nodes of the syntax tree or more, about five lines, are compared. No "
        "points depend on it.</p>",
        "<h3>Alike among each other</h3>", _groups(out, own),
        "<h3>Equal to the published solution</h3>", _public(out, public), "</section>",
    ]  # fmt: skip
    return "\n".join(parts)


def _groups(out, prints: Mapping[str, Mapping[str, str]]) -> str:
    found = alike.groups(prints)
    if not found:
        return "<p>None.</p>"
    rows = [
        [f"{len(exercises)}", html.escape(", ".join(exercises)), _who(out, names)]
        for exercises, names in found[:GROUPS]
    ]
    left = len(found) - len(rows)
    more = f"<p>{left} more groups share as many exercises as the last one, or fewer.</p>"
    return _table(["exercises", "which", "who"], rows) + more * bool(left)


def _public(out, public: Mapping[str, list[str]]) -> str:
    rows = [
        [f"{len(exercises)}", html.escape(", ".join(exercises)), _link(out, name)]
        for name, exercises in sorted(public.items(), key=lambda item: (-len(item[1]), item[0]))
        if exercises
    ]
    return _table(["exercises", "which", "who"], rows) if rows else "<p>None.</p>"


def _slowest(out, seconds: Mapping[str, float]) -> str:
    """Return the submissions that took longest; nothing where no times are known."""
    if not seconds:
        return ""
    slowest = sorted(seconds, key=lambda name: (-seconds[name], name))[:SLOWEST]
    rows = [[_link(out, name), f"{seconds[name]:.1f}"] for name in slowest]
    return (
        '<section id="slowest">\n<h2>The slowest</h2>\n<p>Seconds of computing, which differ a '
        f"little from run to run.</p>\n{_table(['submission', 'seconds'], rows)}\n</section>"
    )


def _submission(out, name, status, marks: Marks) -> list[str]:
    points = f"{marks['points']:g}", f"{marks['max_points']:g}", percent(marks)
    return [_link(out, name), html.escape(marks["chapter"]), *points, html.escape(status)]
