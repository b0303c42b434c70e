"""What the pairs of a line come to: median, spread, met or not; and all lines as a table of text."""

import dataclasses
import statistics
from typing import Optional


@dataclasses.dataclass(frozen=True)
class Target:
    """What a ratio is to be: sign is ">=", "<=" or "=", or "" where it is only printed."""

    sign: str = ""
    value: float = 1.0

    def met(self, ratio):
        """None where there is nothing to meet. Of the ratio as it is, not as it is printed."""
        if self.sign == ">=":
            return ratio >= self.value
        if self.sign == "<=":
            return ratio <= self.value
        if self.sign == "=":
            return ratio == self.value
        return None

    def score(self, ratio):
        """How many times better than asked for: 1 is just met. The ratio itself, if nothing is asked."""
        better = ratio / self.value
        if self.sign == "<=":
            return 1 / better
        return min(better, 1 / better) if self.sign == "=" else better

    def __str__(self):
        return f"{self.sign} {self.value:g}" if self.sign else "printed"


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of the table: what of which row is compared with whom."""

    row: str
    what: str
    figure: str
    against: str
    target: Target = Target()

    @property
    def key(self):
        return (self.row, self.figure, self.against)


@dataclasses.dataclass(frozen=True)
class Result:
    """What a line has come to. `why`: the reason why it has no figures."""

    line: Line
    pairs: tuple = ()  # of (memod, other)
    why: Optional[str] = None

    def _quantiles(self):
        return quartiles([memod / other for memod, other in self.pairs])

    @property
    def ratio(self):
        return self._quantiles()[1]

    @property
    def spread(self):
        low, _, high = self._quantiles()
        return low, high

    @property
    def memod(self):
        return statistics.median(memod for memod, _ in self.pairs)

    @property
    def other(self):
        return statistics.median(other for _, other in self.pairs)

    @property
    def met(self):
        """True, False, or None: only printed, or not measured."""
        return self.line.target.met(self.ratio) if self.pairs else None


def quartiles(values):
    if len(values) == 1:
        return [values[0]] * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def results(lines, measured, reasons):
    """`measured`: what programs printed, as dicts. `reasons`: row -> why it could not be measured."""
    found = []
    for line in lines:
        pairs = tuple(
            (pair["memod"], pair["other"])
            for pair in measured
            if (pair["row"], pair["figure"], pair["against"]) == line.key
        )
        why = None if pairs else reasons.get(line.row, "its program printed no such figure")
        found.append(Result(line, pairs, why))
    return found


def figure(value):
    """Three digits, or all that there are before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


HEAD = ["row", "what", "against", "memod", "other", "ratio", "quartiles", "target", ""]


def cells(result):
    line = result.line
    begin = [line.row, f"{line.what}, {line.figure}", line.against]
    if not result.pairs:
        return begin + ["", "", "", "", str(line.target), f"not measured: {result.why}"]
    low, high = result.spread
    return begin + [
        figure(result.memod),
        figure(result.other),
        figure(result.ratio),
        f"{figure(low)}..{figure(high)}",
        str(line.target),
        {True: "met", False: "not met", None: ""}[result.met],
    ]


def text(found):
    rows = [HEAD] + [cells(result) for result in found]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD) - 1)]
    right = {3, 4, 5}
    return "\n".join(
        "  ".join(
            [cell.rjust(width) if i in right else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths))]
            + [row[-1]]
        ).rstrip()
        for row in rows
    )


def markdown(found):
    lines = ["| " + " | ".join(HEAD) + " |", "|---|---|---|---:|---:|---:|---|---|---|"]
    for result in found:
        row = cells(result)
        if result.met is False:
            row[-1] = "**not met**"
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)
