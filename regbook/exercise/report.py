"""The report on one answer: what the notebook, the terminal and the feedback page show."""

import html
from dataclasses import dataclass

from regbook.exercise.compare import Outcome

NOT_ATTEMPTED = "not attempted"

# JupyterLab knows no style of ours; the book and the feedback page have theirs. The colour-blind
# can tell each pair of colours apart, and both can be read on the background of their theme.
STYLE = "<style>{}</style>".format(
    "".join(
        f'[data-jp-theme-light="{light}"] .regbook-report .{mark} td:first-child '
        f"{{ color: {colour}; font-weight: bold; }} "
        for light, mark, colour in (
            ("true", "fail", "#a03000"), ("true", "pass", "#00507a"),
            ("false", "fail", "#ffb38a"), ("false", "pass", "#8fd0ff"),
        )
    )
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One line of a report: a check, its outcome, and the points it gave."""

    check: str
    text: str
    outcome: Outcome
    points: float
    max_points: float
    more: str


def rounded(points: float) -> float:
    """Return points to two decimals, and whole ones as an integer."""
    points = round(points, 2)
    return int(points) if points == int(points) else points


@dataclass(frozen=True)
class Report:
    """The checks of one exercise; Jupyter shows it as a table. No rows: not attempted.

    corrected: the points that a teacher gives instead, with a comment. weight: how many times a
    teacher lets the exercise count, with a comment; 0 excuses from it.
    """

    exercise: str
    rows: list[Row]
    max_points: float
    hint: int = 1
    corrected: float | None = None
    comment: str = ""
    weight: float = 1
    weight_comment: str = ""

    @classmethod
    def from_dict(cls, stored: dict) -> "Report":
        """Return the report that `dataclasses.asdict` turned into `stored`."""
        rows = [Row(**{**row, "outcome": Outcome(**row["outcome"])}) for row in stored["rows"]]
        return cls(**{**stored, "rows": rows})

    @property
    def points(self) -> float:
        """Points earned, before the weight."""
        gained = rounded(sum(row.points for row in self.rows))
        return gained if self.corrected is None else self.corrected

    @property
    def counted(self) -> tuple[float, float]:
        """Points and the most points that there are, both after the weight."""
        return rounded(self.weight * self.points), rounded(self.weight * self.max_points)

    @property
    def status(self) -> str:
        """The result in one line."""
        if self.corrected is not None:
            said = f": {self.comment}" if self.comment else ""
            points = f"{self.corrected:g} of {self.max_points} points"
            return f"{points}{self._counts}, corrected by your teacher{said}"
        if not self.rows:
            return f"{NOT_ATTEMPTED} (0 of {self.max_points} points){self._counts}"
        full = ", full marks" if self.points == self.max_points else ""
        return f"{self.points} of {self.max_points} points{full}{self._counts}"

    @property
    def _counts(self):
        """What the status says about the weight."""
        if self.weight == 1:
            return ""
        words = {0: "excused", 0.5: "counts half", 2: "counts twice"}
        said = f" ({self.weight_comment})" if self.weight_comment else ""
        return f", {words.get(self.weight, f'counts {self.weight:g} times')}{said}"

    @property
    def hints(self) -> list[str]:
        """The hints to show, each once: of named mistakes if there are any, else of all."""
        failed = [row for row in self.rows if not row.outcome.passed]
        named = [row for row in failed if row.outcome.mistake != row.check]
        found = []
        for row in named or failed:
            found += [row.outcome.hint, row.more] if self.hint > 1 else [row.outcome.hint]
        return list(dict.fromkeys(found))

    def __repr__(self) -> str:
        lines = [f"{self.exercise}: {self.status}"]
        for row in self.rows:
            o = row.outcome
            lines.append(
                f"  {'pass' if o.passed else 'FAIL'}  {row.text}: "
                f"expected {o.expected}, received {o.received}"
            )
        lines += [f"  Hint: {h}" for h in self.hints]
        if self.hints and self.hint < 2:
            lines.append(f"  For a stronger hint: check({self.exercise}, hint=2)")
        return "\n".join(lines)

    def _repr_html_(self):
        def escape(*cells, tag="td"):
            start = f'<{tag} style="text-align: left">'  # JupyterLab would align to the right
            return "".join(f"{start}{html.escape(str(c))}</{tag}>" for c in cells)

        parts = [
            '<div class="regbook-report">',
            f"<p><strong>{html.escape(self.exercise)}</strong>: {html.escape(self.status)}</p>",
        ]
        if self.rows:
            parts.append(STYLE)
            head = escape("", "property", "expected", "received", "points", tag="th")
            parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>")
            for row in self.rows:
                o = row.outcome
                mark = "pass" if o.passed else "fail"
                cells = escape(
                    "\N{CHECK MARK} pass" if o.passed else "\N{BALLOT X} fail",
                    row.text,
                    o.expected,
                    o.received,
                    f"{row.points} of {row.max_points}",
                )
                parts.append(f'<tr class="{mark}">{cells}</tr>')
            parts.append("</tbody></table>")
        parts += [f"<p><strong>Hint.</strong> {html.escape(h)}</p>" for h in self.hints]
        if self.hints and self.hint < 2:
            parts.append(
                f"<p>For a stronger hint: <code>check({html.escape(self.exercise)}, "
                "hint=2)</code></p>"
            )
        parts.append("</div>")
        return "\n".join(parts)
