"""The pages of a report, which need nothing but a browser: feedback, and the class at a glance."""

import base64
import hashlib
import html
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

from regbook.exercise import Report, Row
from regbook.grading.results import Marks, Result, exercise_status, percent

STYLE = """\
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1, h2, p, td, li { overflow-wrap: anywhere; }
.regbook-report {
  border: 1px solid #8888; border-radius: .4rem; padding: .2rem 1rem; margin: 1rem 0;
}
table { border-collapse: collapse; width: 100%; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #8884; vertical-align: top; }
tr.pass td:first-child, tr.fail td:first-child { font-weight: bold; white-space: nowrap; }
tr.fail td:first-child { color: light-dark(#a03000, #ffb38a); }
tr.pass td:first-child { color: light-dark(#00507a, #8fd0ff); }
@media (max-width: 40rem) {
  .regbook-report thead { display: none; }
  .regbook-report :is(tr, td) { display: block; }
  .regbook-report tr { border-bottom: 1px solid #8888; padding: .4rem 0; }
  .regbook-report td { border: 0; padding: .1rem 0; }
  .regbook-report td:nth-child(3)::before { content: "expected: "; }
  .regbook-report td:nth-child(4)::before { content: "received: "; }
  .regbook-report td:nth-child(5)::before { content: "points: "; }
}"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; {policy}style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""


def feedback(name: str, result: Result) -> str:
    """Return the self-contained HTML page for the learner who handed in `name`."""
    status = result["status"]
    chapters = result.get("chapters", [])
    parts = [
        f"<p><strong>{marks['points']} of {marks['max_points']} points</strong> "
        f"({percent(marks)} %) in chapter {html.escape(marks['chapter'])}.</p>"
        for marks in chapters
    ] or [f"<p>{html.escape(status[:1].upper() + status[1:])}.</p>"]
    if result.get("problems"):
        items = (
            f"<li>Code cell {n}: {html.escape(text)}</li>" for n, text in result["problems"].items()
        )
        parts.append(
            "<h2>Cells that failed</h2>\n<p>The other cells were run all the same, and of these "
            f"the definitions and imports.</p>\n<ul>{''.join(items)}</ul>"
        )
    for marks in chapters:
        of = f" of chapter {html.escape(marks['chapter'])}" if len(chapters) > 1 else ""
        parts.append(f"<h2>Exercises{of}</h2>")
        parts += [Report.from_dict(report)._repr_html_() for report in marks["exercises"]]
    return _page(html.escape(f"Feedback on {name}"), parts)


def _page(title, parts, style="", policy=""):
    return PAGE.format(title=title, style=STYLE + style, policy=policy, body="\n".join(parts))


def feedback_path(out: Path, name: str) -> Path:
    """Return where the feedback page of a submission lies below a report."""
    parts = name.encode().split(b"/")
    if max(map(len, parts)) > 240:  # no file system takes many more
        start = parts[-1][:50].decode(errors="ignore")
        name = f"{start}-{hashlib.sha256(name.encode()).hexdigest()}"
    return Path(out, "feedback", f"{name}.html")


# --- the class at a glance ------------------------------------------------------------------------

TENTHS = 10
MISTAKES = 10  # of a chapter that are shown
LEARNERS = 20  # with one mistake who are shown at once
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
td.number { text-align: right; font-variant-numeric: tabular-nums; }
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
    graded = {name: result for name, result in results.items() if "chapters" in result}
    failed = {
        name: result for name, result in results.items()
        if "chapters" not in result and not result.get("left_out")
    }  # fmt: skip
    chapters: dict[str, dict[str, Marks]] = defaultdict(dict)
    for name, result in sorted(graded.items()):
        for marks in result["chapters"]:
            chapters[marks["chapter"]][name] = marks
    parts = [f"<p>{len(graded)} submissions were graded, {len(failed)} could not be graded.</p>"]
    if failed:
        rows = [
            [_link(out, name), html.escape(result["status"])] for name, result in failed.items()
        ]
        parts += ["<h2>Could not be graded</h2>", _table(["submission", "why"], sorted(rows))]
    for chapter, marks in sorted(chapters.items()):
        parts += [f"<h2>Chapter {html.escape(chapter)}</h2>", _distribution(marks.values())]
        parts += ["<h3>Exercises</h3>", _exercises(marks.values())]
        parts += ["<h3>Most frequent mistakes</h3>", _mistakes(out, marks)]
    parts += ["<h2>Submissions</h2>", _submissions(out, graded), f"<script>{SCRIPT}</script>"]
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return _page("The class at a glance", parts, OVERVIEW_STYLE, f"script-src 'sha256-{digest}'; ")


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


def _distribution(marks: Iterable[Marks]) -> str:
    """Return a histogram of the points, in tenths of what can be earned, also in words."""
    counts = [0] * (TENTHS + 1)
    for each in marks:
        counts[int(TENTHS * each["points"] / (each["max_points"] or 1))] += 1
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


def _exercises(marks: Iterable[Marks]) -> str:
    by_name = defaultdict(list)
    for each in marks:
        for report in map(Report.from_dict, each["exercises"]):
            by_name[report.exercise].append(report)
    rows = []
    for name, reports in by_name.items():
        tried = [report for report in reports if report.rows]
        full = sum(exercise_status(report) == "full marks" for report in reports)
        mean = sum(report.points for report in reports) / len(reports)
        rows.append([name, f"{len(tried)}", f"{full}", f"{mean:.1f}", f"{reports[0].max_points:g}"])
    return _table(["exercise", "attempted", "full marks", "mean points", "of"], rows)


def _is_named(row: Row) -> bool:
    """Tell whether a mistake is known by name, and not only by the check that failed."""
    return not row.outcome.passed and row.outcome.mistake not in (
        row.check,
        "form",
        "error",
        "endless",
    )


def _mistakes(out, marks: Mapping[str, Marks]) -> str:
    learners: dict[tuple[str, str, str], dict[str, bool]] = defaultdict(dict)
    for name, each in marks.items():
        for report in map(Report.from_dict, each["exercises"]):
            for row in filter(_is_named, report.rows):
                learners[report.exercise, row.outcome.mistake, row.outcome.hint][name] = True
    found = sorted(learners.items(), key=lambda item: (-len(item[1]), item[0]))[:MISTAKES]
    if not found:
        return "<p>None that is known by name.</p>"
    rows = []
    for (exercise, _, hint), names in found:
        links = [_link(out, name) for name in names]
        shown = ", ".join(links[:LEARNERS])
        if len(links) > LEARNERS:
            more = ", ".join(links[LEARNERS:])
            shown += f"<details><summary>{len(links) - LEARNERS} more</summary>{more}</details>"
        rows.append([f"{len(names)}", exercise, html.escape(hint), shown])
    return _table(["submissions", "exercise", "what they are told", "who"], rows)


def _submissions(out, graded: Mapping[str, Result]) -> str:
    rows = [
        [_link(out, name), html.escape(marks["chapter"]), f"{marks['points']:g}",
         f"{marks['max_points']:g}", percent(marks), html.escape(result["status"])]
        for name, result in sorted(graded.items()) for marks in result["chapters"]
    ]  # fmt: skip
    return _table(["submission", "chapter", "points", "of", "per cent", "status"], rows)
