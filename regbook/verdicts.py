"""Verdicts: what an interval says about a question, in one line with one of four outcomes."""

import html
import math
from dataclasses import dataclass

from regbook.claims import ClaimFailed, Interval, enough
from regbook.margins import Margin, margin

OUTCOMES = ("helps", "harms", "no difference", "cannot tell")


@dataclass(frozen=True, repr=False)
class Verdict:
    """The outcome of a question, with the interval and the margin it rests on.

    As text and as HTML it is one line. Only the estimate in it depends on the machine, and
    tests/nbval.cfg masks that where stored outputs are compared.
    """

    outcome: str
    question: str
    interval: Interval
    margin: Margin

    @property
    def label(self) -> str:
        """The outcome in words, with the margin where it denies a difference."""
        denies = self.outcome == "no difference"
        return f"no difference larger than {self.margin}" if denies else self.outcome

    @property
    def needed(self) -> int:
        """About how many replicates settle the question whatever the effect is.

        An interval narrower than the margin excludes 0 or lies within the margin, and its width
        falls with the square root of the number of replicates.
        """
        width = self.interval.high - self.interval.low
        return math.ceil(self.interval.n * (width / self.margin.value) ** 2)

    @property
    def estimate(self) -> str:
        """The effect with its interval; when it cannot tell, how many replicates it would take."""
        digits = max(0, 1 - math.floor(math.log10(self.margin.value)))
        mean, low, high = (
            f"{x:+.{digits}f}" for x in (self.interval.mean, self.interval.low, self.interval.high)
        )
        more = f" (about {self.needed:,} needed)" if self.outcome == "cannot tell" else ""
        return f"{mean} {self.margin.unit} [{low}, {high}]{more}"

    def __repr__(self) -> str:
        count = f"{self.interval.n} {self.interval.replicates}"
        return f"{self.question}: {self.label}. {self.estimate}, {count}"

    def _repr_html_(self) -> str:
        parts = (self.label, self.question, self.estimate)
        label, question, estimate = map(html.escape, parts)
        count = html.escape(f"{self.interval.n} {self.interval.replicates}")
        return (
            f'<p class="verdict {self.outcome.replace(" ", "-")}"><strong>{label}</strong> '
            f'{question}: <span class="estimate">{estimate}</span>, {count}</p>'
        )


def verdict(
    question: str, interval: Interval, metric: str = "accuracy", *, expect: str | None = None
) -> Verdict:
    """Judge a difference by the margin of its metric; return the verdict for display.

    question: what was asked, such as "Dropout against the tuned baseline". interval: of the
    difference "method minus baseline", over 10 replicates or more, in the unit of the margin.
    metric: a name of `regbook.margins.MARGINS`. expect: the outcome that the prose of the page is
    written for.

    "helps" and "harms": the whole interval lies on one side of 0, even within the margin.
    "no difference": it includes 0 and lies within the margin on both sides. Else "cannot tell".
    Raises ClaimFailed when another outcome is expected, ValueError for too few replicates, a bound
    that is not finite or an unknown outcome, KeyError for a metric without a margin.
    """
    declared = margin(metric)
    enough(question, interval)
    if expect is not None and expect not in OUTCOMES:
        raise ValueError(f"expect is one of {', '.join(OUTCOMES)}, not {expect!r}")
    gain, loss = interval > 0, interval < 0
    if declared.better == "lower":
        gain, loss = loss, gain
    same = interval.within(-declared.value, declared.value)
    decided = zip(OUTCOMES, (gain, loss, same, True), strict=True)
    found = Verdict(next(o for o, holds in decided if holds), question, interval, declared)
    if expect not in (None, found.outcome):
        raise ClaimFailed(
            f'the page is written for the outcome "{expect}", and the experiment gives another: '
            f"{found}. Change the text of the page, not the margin"
        )
    return found
