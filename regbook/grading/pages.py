"""The pages of a report, which need nothing but a browser: their style, and the feedback."""

import hashlib
import html
from collections.abc import Iterable
from pathlib import Path

from regbook.exercise import Report
from regbook.grading.results import Result, lost, percent, totals

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

TITLE = "Feedback on "


def feedback(name: str, result: Result) -> str:
    """Return the self-contained HTML page for the learner who handed in `name`."""
    status = result["status"]
    chapters = result.get("chapters", [])
    parts = [
        f"<p><strong>{marks['points']} of {marks['max_points']} points</strong>"
        f"{_share(marks)} in chapter {html.escape(marks['chapter'])}.{_late(marks)}</p>"
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
    return page(html.escape(f"{TITLE}{name}"), parts)


def _share(marks):
    share = percent(marks)
    return f" ({share} %)" if share else ""


def _late(marks):
    """Return what the page says about the days after the deadline."""
    late = marks.get("late")
    if not late:
        return ""
    days, less = late["days"], lost(late)
    said = "no points were taken off"
    if less:
        points, _ = totals(map(Report.from_dict, marks["exercises"]))
        said = f"{less:g} % less than the {points} points that you earned"
    parts = [f"{days:g} day{'s'[: days != 1]} late: {said}." if days else "", late["comment"]]
    return "".join(f" {html.escape(part)}" for part in parts if part)


def page(title: str, parts: Iterable[str], style: str = "", policy: str = "") -> str:
    """Return a page; the arguments are HTML, and policy says what it may do beyond nothing."""
    return PAGE.format(title=title, style=STYLE + style, policy=policy, body="\n".join(parts))


def feedback_path(out: Path, name: str) -> Path:
    """Return where the feedback page of a submission lies below a report."""
    parts = name.encode().split(b"/")
    if max(map(len, parts)) > 240:  # no file system takes many more
        start = parts[-1][:50].decode(errors="ignore")
        name = f"{start}-{hashlib.sha256(name.encode()).hexdigest()}"
    return Path(out, "feedback", f"{name}.html")


def told(path: Path) -> str | None:
    """Return the name of the submission whose feedback page this is; None if it is no such page."""
    with path.open("rb") as file:
        start = file.read(1 << 16).decode(errors="replace")
    title = start.partition("<title>")[2].partition("</title>")[0]
    return html.unescape(title.removeprefix(TITLE)) if title.startswith(TITLE) else None
