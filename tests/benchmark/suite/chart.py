"""The table as a picture: how far each ratio is from what is asked for, as SVG that is legible on light
and on dark."""

import html
import math

WIDTH, LABELS, FIGURES = 1170, 450, 300
LINE, HEAD, FOOT = 26, 58, 50
LEFT, RIGHT = LABELS, WIDTH - FIGURES  # of the plot
LEAST, MOST = 0.2, 10.0  # times the target, on a logarithmic scale

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; }
.faint { fill: #59636e; }
.row { font-weight: 600; }
.end { text-anchor: end; }
.middle { text-anchor: middle; }
.paper { fill: #ffffff; }
.grid { stroke: #d1d9e0; }
.target { stroke: #1f2328; stroke-width: 1.5; }
.met { fill: #0a7f5b; stroke: #0a7f5b; }
.not { fill: #ffffff; stroke: #c2410c; }
.only { fill: #59636e; stroke: #59636e; }
.dot { stroke-width: 2; }
.spread { stroke-width: 2; }
text.met { stroke: none; }
text.not { fill: #c2410c; stroke: none; }
text.only { stroke: none; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .faint { fill: #9198a1; }
  .paper { fill: #0d1117; }
  .grid { stroke: #3d444d; }
  .target { stroke: #f0f6fc; }
  .met { fill: #3fcf8e; stroke: #3fcf8e; }
  .not { fill: #0d1117; stroke: #ff9d5c; }
  text.not { fill: #ff9d5c; }
  .only { fill: #9198a1; stroke: #9198a1; }
}
"""


def x_of(score):
    held = min(max(score, LEAST), MOST)
    return LEFT + (RIGHT - LEFT) * math.log(held / LEAST) / math.log(MOST / LEAST)


def text(x, y, content, kind=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{html.escape(content)}</text>'


def vertical(x, top, bottom, kind):
    return f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" class="{kind}"/>'


def drawn(result, y, figure):
    """What stands in the line of a result, left to right."""
    line = result.line
    label = f"{line.what}, {line.figure}"
    yield text(10, y + 4, line.row, "row")
    yield text(76, y + 4, label if len(label) <= 58 else label[:57] + "…")
    if not result.pairs:
        yield text(LEFT + 8, y + 4, f"not measured: {result.why}", "faint")
        return
    kind = {True: "met", False: "not", None: "only"}[result.met]
    ratio, (low, high) = result.ratio, result.spread
    ends = sorted(x_of(line.target.score(value)) for value in (low, high))
    x = x_of(line.target.score(ratio))
    yield f'<line x1="{ends[0]:.1f}" y1="{y}" x2="{ends[1]:.1f}" y2="{y}" class="spread {kind}"/>'
    yield f'<circle cx="{x:.1f}" cy="{y}" r="5" class="dot {kind}"/>'
    yield text(RIGHT + 52, y + 4, figure(ratio), kind + " end")
    yield text(RIGHT + 64, y + 4, str(line.target), "faint")
    yield text(RIGHT + 124, y + 4, line.against, "faint")


def svg(found, figure):
    """`figure` writes a ratio, as in the table."""
    # Where nothing is asked for there is nothing to be far from.
    shown = [result for result in found if result.line.target.sign]
    bottom = HEAD + LINE * len(shown)
    height = bottom + FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>memod beside what one would use instead</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
        text(10, 24, "memod beside what one would use instead", "title"),
        text(x_of(1) - 8, 46, "◄ short of the target", "faint end"),
        text(x_of(1) + 8, 46, "better than the target ►", "faint"),
        text(RIGHT + 52, 46, "ratio", "faint end"),
        text(RIGHT + 64, 46, "target", "faint"),
        text(RIGHT + 124, 46, "against", "faint"),
    ]
    for times in (0.25, 0.5, 1, 2, 4, 8):
        kind = "target" if times == 1 else "grid"
        parts.append(vertical(x_of(times), HEAD, bottom, kind))
        label = "target" if times == 1 else f"{times:g}×"
        parts.append(text(x_of(times), bottom + 18, label, "faint middle"))
    for i, result in enumerate(shown):
        parts += drawn(result, HEAD + LINE * i + LINE // 2, figure)
    legend = "● met, ○ not met: the median of the paired ratios; its line: their quartiles"
    parts.append(text(10, bottom + 40, legend, "faint"))
    return "\n".join(parts) + "\n</svg>\n"
