"""BENCHMARKS.md and its chart: page.md, which is kept by hand, with what was measured in it."""

import chart
import table
from harness import ROOT

PAGE = ROOT / "BENCHMARKS.md"
PICTURE = ROOT / "deploy" / "pictures" / "benchmarks.svg"
TEXT = ROOT / "tests" / "benchmark" / "page.md"

MADE = "<!-- Made by tests/benchmark/run --page of tests/benchmark/page.md, which is the place to write. -->\n"


def filled(text, measured, found):
    effort = measured["effort"]
    machine = [f"- {name}: {said}" for name, said in measured["machine"].items()]
    machine.append(f"- effort: {effort['rounds']} rounds in turn, {effort['seconds']:g} s for each side where a row does not say otherwise")
    asked = [result for result in found if result.line.target.sign]
    met = sum(1 for result in asked if result.met)
    parts = {
        "machine": "\n".join(machine),
        "table": table.markdown(found),
        "met": f"{met} of {len(asked)}",
        "chart": PICTURE.relative_to(ROOT).as_posix(),
    }
    for name, part in parts.items():
        text = text.replace("{{" + name + "}}", part)
    return MADE + text


def write(measured, found):
    PICTURE.write_text(chart.svg(found, table.figure))
    PAGE.write_text(filled(TEXT.read_text(), measured, found))
