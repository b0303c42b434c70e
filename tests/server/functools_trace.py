"""Runs a trace of calls through functools.lru_cache.

usage: functools_trace.py MAXSIZE FILE    with MAXSIZE a number or None, FILE a key per line

A key that starts with "!" is computed to an error. Prints for each call whether it was computed, as
a line of 0s and 1s, then what cache_info says.
"""

import functools
import sys

computed = 0


def compute(key):
    global computed
    computed += 1
    if key.startswith("!"):
        raise ValueError(key)
    return key


maxsize = None if sys.argv[1] == "None" else int(sys.argv[1])
cached = functools.lru_cache(maxsize=maxsize)(compute)
marks = []
with open(sys.argv[2]) as file:
    for line in file:
        before = computed
        try:
            cached(line.rstrip("\n"))
        except ValueError:
            pass
        marks.append(str(computed - before))
info = cached.cache_info()
print("".join(marks))
print("hits", info.hits, "misses", info.misses, "maxsize", info.maxsize, "currsize", info.currsize)
