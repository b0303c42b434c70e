"""Runs the long tests and prints a table of what held; `tests/soak --help` says more."""

import argparse
import os
import secrets
import sys
import time

import figures


def options():
    parser = argparse.ArgumentParser(
        prog="tests/soak",
        description="The long tests: random operations against a model, sessions by the million. Ends "
        "with 1 when something does not hold.",
    )
    parser.add_argument(
        "--only",
        metavar="NAME,...",
        default=",".join(figures.ALL),
        help="which: %(default)s",
    )
    parser.add_argument("--seed", type=int, help="of the random operations; by default another one")
    parser.add_argument(
        "--scale", type=int, default=1, metavar="N", help="does an N-th of everything"
    )
    given = parser.parse_args()
    given.names = given.only.split(",")
    unknown = sorted(set(given.names) - set(figures.ALL))
    if unknown:
        parser.error(f"--only: no {unknown[0]!r}; there are {', '.join(figures.ALL)}")
    if given.scale < 1:
        parser.error(f"--scale is {given.scale}; want 1 or more")
    if given.seed is None:
        given.seed = secrets.randbelow(10**9)
    given.scaled = lambda count: max(count // given.scale, 1)
    return given


def table(rows):
    width = max(len(row.figure) for row in rows)
    for row in rows:
        verdict = "holds" if row.holds else "DOES NOT HOLD"
        value, most = (f"{number:.4g} {row.unit}".strip() for number in (row.value, row.most))
        yield f"{row.figure:<{width}}  {value:>10}  at most {most:<8}  {verdict}"


def main():
    given = options()
    os.sched_setaffinity(0, {figures.CPUS[1 % len(figures.CPUS)]})  # the servers have the first
    begin = time.monotonic()
    rows = []
    for name in given.names:
        figures.say(f"== {name}")
        try:
            for row in figures.ALL[name](given):
                rows.append(row)
                figures.say(next(table([row])))
        except Exception as error:  # the others are to run
            figures.say(f"{name}: {error!r}")
            rows.append(figures.Row(f"{name}: {error!r}", 1, 0))
    print(f"\nseed {given.seed}, 1/{given.scale} of everything, {time.monotonic() - begin:.0f} s\n")
    print("\n".join(table(rows)))
    sys.exit(0 if all(row.holds for row in rows) else 1)


if __name__ == "__main__":
    main()
