"""A hit of functools.lru_cache, the seeds' baseline: nanoseconds, on standard output."""

import functools
import subprocess
import sys
import time

PYTHON = "/usr/bin/python3"


def nanos_per_hit(seconds, entries=128):
    @functools.lru_cache(maxsize=entries)
    def remembered(key):
        return key

    keys = [f"{i:016d}" for i in range(entries)] * 64
    for key in keys:
        remembered(key)

    def once():
        """As timeit does it, less what the loop itself takes."""
        begin = time.perf_counter_ns()
        for key in keys:
            pass
        loop = time.perf_counter_ns() - begin
        begin = time.perf_counter_ns()
        for key in keys:
            remembered(key)
        return time.perf_counter_ns() - begin - loop

    spent, hits, end = 0, 0, time.monotonic() + seconds
    while hits == 0 or time.monotonic() < end:
        spent += once()
        hits += len(keys)
    assert remembered.cache_info().misses == entries
    return spent / hits


def in_a_process(seconds):
    """Of a python3 of its own, on the server's CPU."""
    from harness import SERVER_CPU

    argv = ["taskset", "-c", str(SERVER_CPU), PYTHON, __file__, str(seconds)]
    return float(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    print(nanos_per_hit(float(sys.argv[1])))
