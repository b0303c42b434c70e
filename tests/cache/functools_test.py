"""Random traces of calls give the same on MemoCache as on Python's functools.lru_cache.

Usage: functools_test.py <functools_trace>
"""

import functools
import random
import subprocess
import sys
import unittest

SEED = 20240607
CALLS = 100_000
MAXSIZES = [0, 1, 2, 7, 128, None, -1]


def random_trace(rng, calls, maxsize):
    """Commands, in runs that each have their own idea of which keys are asked for."""
    around = 40 if maxsize is None or maxsize <= 0 else maxsize
    trace = []
    while len(trace) < calls:
        keys = rng.choice([around, around + 1, 2 * around + 1, 10 * around])
        skewed = rng.random() < 0.5
        for _ in range(min(calls - len(trace), rng.randint(1, 2000))):
            key = int(keys * rng.random() ** 3) if skewed else rng.randrange(keys)
            trace.append(f"call {key}")
        if rng.random() < 0.2:
            trace.append("clear")
        trace.append("info")
    trace.append("info")
    return trace


def on_functools(trace, maxsize):
    """What functools_trace is to print."""
    computed = 0

    @functools.lru_cache(maxsize=maxsize)
    def call(key):
        nonlocal computed
        computed += 1
        return computed

    lines = []
    for command in trace:
        if command == "clear":
            call.cache_clear()
        elif command == "info":
            lines.append(" ".join(str(field) for field in call.cache_info()))
        else:
            before = computed
            answer = call(command.split()[1])
            lines.append(f"{'hit' if computed == before else 'miss'} {answer}")
    return lines


def on_memod(trace, maxsize):
    done = subprocess.run([PROGRAM], input="\n".join([str(maxsize), *trace]), text=True,
                          stdout=subprocess.PIPE, check=True, timeout=300)
    return done.stdout.splitlines()


class FunctoolsTest(unittest.TestCase):

    def test_new_cache_says_zero_and_its_maxsize(self):
        for maxsize in MAXSIZES:
            self.assertEqual(on_memod(["info"], maxsize), on_functools(["info"], maxsize))

    def test_random_traces_recompute_the_same_and_count_the_same(self):
        for maxsize in MAXSIZES:
            with self.subTest(maxsize=maxsize, seed=SEED):
                trace = random_trace(random.Random(f"{SEED} {maxsize}"),
                                     CALLS // len(MAXSIZES) + 1, maxsize)
                self.assertIn("clear", trace)
                expected = on_functools(trace, maxsize)
                actual = on_memod(trace, maxsize)
                self.assertEqual(len(actual), len(expected))
                for i, (one, other) in enumerate(zip(actual, expected)):
                    self.assertEqual(one, other, f"line {i}")


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
