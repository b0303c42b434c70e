"""Measures the rows, prints the table; see ../README.md."""

import argparse
import json
import pathlib
import sys
import time

import chart
import machine
import page
import rows
import table
from harness import CannotRun

FULL = rows.Effort(rounds=15, seconds=1.0)
QUICK = rows.Effort(rounds=3, seconds=0.3)
SMOKE = rows.Effort(rounds=1, seconds=0.1)
ROWS = list(dict.fromkeys(line.row for line in rows.LINES))


def arguments(argv):
    def row_list(text):
        wanted = text.split(",")
        if unknown := [row for row in wanted if row not in ROWS]:
            raise argparse.ArgumentTypeError(f"no row {unknown[0]!r}: there are {', '.join(ROWS)}")
        return wanted

    parser = argparse.ArgumentParser(prog="tests/benchmark/run", description=__doc__.split(";")[0])
    parser.add_argument("--quick", action="store_true", help="in two minutes, and with more noise")
    parser.add_argument("--smoke", action="store_true", help="as short as can be: whether all runs, not how fast")
    parser.add_argument("--rows", type=row_list, default=ROWS, metavar="1,2,...", help="these alone")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="writes all that was measured")
    parser.add_argument("--from", dest="files", nargs="+", type=pathlib.Path, metavar="FILE", help="measures nothing: what --json wrote before")
    parser.add_argument("--page", action="store_true", help="writes BENCHMARKS.md and its chart")
    return parser.parse_args(argv)


def measure(wanted, effort):
    """All pairs, and for rows that have none the reason why."""
    pairs, reasons = [], {}
    for measurement in rows.MEASUREMENTS:
        these = [row for row in measurement.rows if row in wanted]
        if not these:
            continue
        print(f"row {', '.join(these)} ...", end="", file=sys.stderr, flush=True)
        begin = time.monotonic()
        try:
            pairs += [pair for pair in measurement.measure(effort) if pair["row"] in these]
            said = ""
        except CannotRun as reason:
            reasons |= dict.fromkeys(these, str(reason))
            said = f": {reason}"
        print(f" {time.monotonic() - begin:.0f} s{said}", file=sys.stderr)
    return pairs, reasons


def merged(files):
    """What several runs measured; of a row that more than one has, the last."""
    whole = {"machine": {}, "effort": {}, "pairs": [], "reasons": {}}
    for file in files:
        part = json.loads(file.read_text())
        rows_here = {pair["row"] for pair in part["pairs"]} | set(part["reasons"])
        whole["pairs"] = [pair for pair in whole["pairs"] if pair["row"] not in rows_here] + part["pairs"]
        kept = {row: why for row, why in whole["reasons"].items() if row not in rows_here}
        whole["reasons"] = kept | part["reasons"]
        whole["machine"], whole["effort"] = part["machine"], part["effort"]
    return whole


def main(argv):
    options = arguments(argv)
    if options.files:
        measured = merged(options.files)
    else:
        effort = SMOKE if options.smoke else QUICK if options.quick else FULL
        described = machine.describe()
        pairs, reasons = measure(options.rows, effort)
        measured = {
            "machine": described,
            "effort": {"rounds": effort.rounds, "seconds": effort.seconds},
            "pairs": pairs,
            "reasons": reasons,
        }
    found = table.results([line for line in rows.LINES if line.row in options.rows], measured["pairs"], measured["reasons"])
    for name, text in measured["machine"].items():
        print(f"{name + ':':8} {text}")
    print()
    print(table.text(found))
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1) + "\n")
    if options.page:
        page.write(measured, found)
    return 1 if any(not result.pairs for result in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
