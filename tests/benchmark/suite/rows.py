"""The rows: what is compared with whom, what is asked of it, and who measures it."""

import contextlib
import dataclasses
from typing import Callable

import entry_bytes
import functools_hit
import load
import peers
from harness import PROGRAMS, pinning, run_program
from table import Line, Target


def at_least(value):
    return Target(">=", value)


def at_most(value):
    return Target("<=", value)


HIT = "unary hits, 64 callers"
PIPELINED = "pipelined hits, 64 per message"
PIPELINED_MORE = "pipelined hits, 256 per message"
LRU = "MemoCache"
PASSED = "passed through, 64 callers"
UNDESCRIBED = "calls/s, of a kind that memod is not told"
ENTRY = "beyond key and value"

LINES = [
    Line("1", HIT, "hits/s", "bare gRPC", at_least(1.0)),
    Line("2", "unary hits, one caller", "p50 us", "bare gRPC", at_most(1.1)),
    Line("2", "unary hits, one caller", "p99 us", "bare gRPC", at_most(1.1)),
    Line("3", HIT, "server CPU us/hit", "bare gRPC", at_most(1.05)),
    Line("4", PIPELINED, "hits/s", "Redis", at_least(2.0)),
    Line("4", PIPELINED, "hits per CPU-second", "Redis", at_least(2.0)),
    Line("5", PIPELINED_MORE, "hits/s", "Redis", at_least(4.0)),
    Line("5", PIPELINED_MORE, "hits/s", "bare stream", at_least(0.8)),
    Line("6", LRU, "ns/hit, 128 entries", "LevelDB", at_most(1.0)),
    Line("6", LRU, "ns/hit, 100k entries", "LevelDB", at_most(1.0)),
    Line("6", LRU, "ns/hit, 1M entries", "LevelDB", at_most(1.0)),
    Line("7", LRU, "ns/hit, 128 entries", "functools.lru_cache", at_most(1.0)),
    Line("8", PASSED, "calls/s", "HAProxy", at_least(0.7)),
    Line("8", PASSED, "calls/s", "nginx", at_least(1.2)),
    Line("8", PASSED, UNDESCRIBED, "HAProxy"),
    Line("9", "remembered, 64 callers", "calls/s", "HAProxy", at_least(1.5)),
    Line("10", "unary hits", "hits/s, 64 KiB", "bare gRPC", at_least(1.0)),
    Line("10", "unary hits", "hits/s, 1 MiB", "bare gRPC", at_least(1.0)),
    *[
        Line("11", ENTRY, f"bytes/entry, {size} values", against, target)
        for size in entry_bytes.SIZES
        for against, target in (("96 B", at_most(1.0)), ("Redis", at_most(1.0)), ("memcached", Target()))
    ],
    Line("12", "10,000 equal calls at once", "computations", "one", Target("=", 1.0)),
    Line("12", "10,000 equal calls at once", "ms", "100 ms + 10,000 hits", at_most(1.2)),
    Line("13", "hosted misses", "us/call, empty method computed", "bare gRPC", at_most(1.5)),
    Line("14", "hits beside a session that computes", "p99 us", "without misses", at_most(2.0)),
    Line("close", "a session of a million entries", "p99 of hits while 1M entries close, us", "before", at_most(1.2)),
    Line("close", "a session of a million entries", "seconds until the memory is back", "allowed", at_most(1.0)),
    Line("sessions", "a hit among 100,000 sessions", "p50 us, one caller", "one session", at_most(1.3)),
    Line("sessions", "a hit among 100,000 sessions", "server CPU us/hit, 64 callers", "one session", at_most(1.3)),
    Line("lookup", "the same, without gRPC", "ns/hit, 100 hot sessions of 100,000", "one session"),
    Line("lookup", "the same, without gRPC", "ns/hit, 10,000 hot sessions of 100,000", "one session"),
    Line("15", "SlowAdder.Calculate, 2 s delay", "ms, second call", "first call"),
    Line("15", "Dataset.Correlate", "ms, remembered", "computed"),
]


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much is measured of each pair of sides."""

    rounds: int
    seconds: float

    def times(self, rounds=1.0, seconds=1.0):
        return Effort(max(1, round(self.rounds * rounds)), self.seconds * seconds)

    def options(self):
        return ["--rounds", self.rounds, "--seconds", self.seconds]


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What is measured in one go. `measure(effort)` gives pairs as the programs print them."""

    rows: tuple
    measure: Callable


def program(name, *rows, rounds=1.0, seconds=1.0, peer=None):
    """A program of this folder; with a peer running beside it, or memod as shipped."""

    def measure(effort):
        with peer() if peer else contextlib.nullcontext() as server:
            if peer is peers.memod:
                beside = ["--memod", server.address]
            else:
                beside = ["--peer", server.address, "--peer-pid", server.pid] if server else []
            options = effort.times(rounds, seconds).options()
            return run_program(name, "--row", ",".join(rows), *options, *pinning(), *beside)

    return Measurement(rows, measure)


def pair(row, figure, memod, other, against):
    return {"row": row, "figure": figure, "memod": memod, "other": other, "against": against}


ECHO = "/memod.benchmark.Echo/Get"
ECHO_REQUEST = load.message(b"0" * 14)


def echo_calls(server, effort):
    return load.calls_per_second(server.address, ECHO, ECHO_REQUEST, 64, effort.seconds)


def passed_through(effort):
    pairs = []
    with peers.upstream() as upstream, contextlib.ExitStack() as stack:
        proxies = {
            "HAProxy": stack.enter_context(peers.haproxy(upstream.address)),
            "nginx": stack.enter_context(peers.nginx(upstream.address)),
        }
        memod = stack.enter_context(peers.memod(upstream_of(upstream, DESCRIBED)))
        stranger = stack.enter_context(peers.memod(upstream_of(upstream)))
        for _ in range(effort.rounds):
            for name, proxy in proxies.items():
                ours = echo_calls(memod, effort)
                pairs.append(pair("8", "calls/s", ours, echo_calls(proxy, effort), name))
            ours = echo_calls(stranger, effort)
            pairs.append(pair("8", UNDESCRIBED, ours, echo_calls(proxies["HAProxy"], effort), "HAProxy"))
    return pairs


def upstream_of(upstream, more=""):
    return f'[[upstream]]\nname = "echo"\ntarget = "{upstream.address}"\n{more}'


DESCRIBED = f'descriptor_set = "{PROGRAMS / "echo.binpb"}"\n'

REMEMBERED = f"""
  [[upstream.method]]
  name = "{ECHO}"
  scope = "server"
  public = true
  ttl = "1h"
"""


def remembered(effort):
    with peers.upstream() as upstream, peers.haproxy(upstream.address) as haproxy:
        with peers.memod(upstream_of(upstream, REMEMBERED)) as memod:
            return [
                pair("9", "calls/s", echo_calls(memod, effort), echo_calls(haproxy, effort), "HAProxy")
                for _ in range(effort.rounds)
            ]


def beside_functools(effort):
    effort = effort.times(seconds=0.3)
    pairs = []
    for _ in range(effort.rounds):
        options = ["--row", "7", "--rounds", 1, "--seconds", effort.seconds, *pinning()]
        (hit,) = run_program("lru_benchmark", *options)
        other = functools_hit.in_a_process(effort.seconds)
        pairs.append(pair("7", hit["figure"], hit["memod"], other, "functools.lru_cache"))
    return pairs


MEASUREMENTS = [
    program("unary_benchmark", "1", "3"),
    program("unary_benchmark", "2", seconds=0.5),
    program("pipeline_benchmark", "4", peer=peers.redis),
    program("pipeline_benchmark", "5", peer=peers.redis),
    program("lru_benchmark", "6", seconds=0.3),
    Measurement(("7",), beside_functools),
    Measurement(("8",), passed_through),
    Measurement(("9",), remembered),
    program("unary_benchmark", "10"),
    Measurement(("11",), entry_bytes.measure),
    program("coalesce_benchmark", "12", peer=peers.memod),
    program("unary_benchmark", "13"),
    program("neighbour_benchmark", "14", peer=peers.memod),
    program("close_benchmark", "close", rounds=0.2),
    program("unary_benchmark", "sessions", rounds=0.3),
    program("sessions_benchmark", "lookup", rounds=0.2),
    program("seeds_benchmark", "15", rounds=0, peer=peers.memod),
]
