"""The long tests of a memod with very many clients. Each is a generator of Rows, a figure each."""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import time

from harness import Memod, eventually
from memo.v1 import admin_pb2

CROWD = pathlib.Path(os.environ["MEMOD_BINARY_DIR"], "tests/long/crowd")
RANDOM_TEST = pathlib.Path(os.environ["MEMOD_BINARY_DIR"], "tests/long/random_test")
SILENT_TEST = pathlib.Path(os.environ["MEMOD_SOURCE_DIR"], "tests/process/silent_client_test.py")
PROCESSES = 4  # that the clients to be killed are in
SPARE_FILES = 500  # of a process that has very many connections
MORE_MIB = 2  # that is still flat: two bytes for each of a million sessions
GIVE_UP = 120  # seconds
PIPE_BYTES = 1 << 20
CPUS = sorted(os.sched_getaffinity(0))


@dataclasses.dataclass
class Row:
    figure: str
    value: float
    most: float  # that it may be
    unit: str = ""

    @property
    def holds(self):
        return self.value <= self.most


class Served(Memod):
    """A memod on the first CPU. It logs as it does by default, and nobody reads the millions of lines:
    they are taken off it so seldom that it disturbs no client."""

    def __init__(self, *flags):
        super().__init__("--session.max=2000000", *flags)
        self.pid = self.process.pid
        for thread in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {CPUS[0]})

    def _read(self):
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
            if '"serving"' in line:
                break
        pipe = self.process.stderr.fileno()
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        while os.read(pipe, PIPE_BYTES):
            time.sleep(0.01)

    def resident(self):
        """Bytes, once they stand still."""
        statm = pathlib.Path(f"/proc/{self.pid}/statm")
        last = None
        while (now := int(statm.read_text().split()[1])) != last:
            last = now
            time.sleep(0.6)  # the reaper looks twice as often
        return now * resource.getpagesize()

    def high_water(self):
        """Bytes: the most that was ever resident."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) << 10


class Crowd:
    """Clients by the thousand: see crowd.cc."""

    def __init__(self, memod):
        self.process = subprocess.Popen(
            [CROWD, memod.address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def start(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        assert line, "crowd has ended, see above"
        return json.loads(line)

    def do(self, *words):
        self.start(*words)
        return self.answer()

    def kill(self):
        self.process.kill()
        self.process.communicate()


def say(text):
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def gauges_zero(memod, admin):
    """Polls until all gauges are; returns the seconds that it took."""
    return eventually("all gauges are 0", lambda: not any(memod.gauges(admin).values()), GIVE_UP)


def random_operations(options):
    """Random operations, each answer checked against a model."""
    operations = options.scaled(10_000_000)
    say(f"{operations} random operations of 8 threads, seed {options.seed}")
    environment = os.environ | {
        "MEMOD_SOAK_OPERATIONS": str(operations),
        "MEMOD_SOAK_SEED": str(options.seed),
    }
    run = subprocess.run(
        [RANDOM_TEST], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    told = re.search(r"^{.*}$", run.stdout, re.MULTILINE)
    if run.returncode != 0:
        print(run.stdout, flush=True)
    wrong = json.loads(told.group())["wrong"] if told else operations
    if told:
        say(told.group())
    yield Row(f"wrong of {operations} random operations", wrong, 0)
    yield Row("  and what else it checks: 1 is a failure", int(run.returncode != 0), 0)


def lives(options):
    """Sessions one after the other."""
    count = options.scaled(1_000_000)
    parts = 20
    with Served() as memod, memod.admin() as admin, Crowd(memod) as crowd:
        for part in range(1, parts + 1):
            took = crowd.do("lives", count // parts)["seconds"]
            high = memod.high_water()
            if part == parts // 10:
                first = high
            say(
                f"{count * part // parts} sessions opened, called and closed; the last "
                f"{count // parts / took:.0f}/s; at most {high / 2**20:.1f} MiB resident"
            )
        took = gauges_zero(memod, admin)
        yield Row(f"{count} times open, 10 calls, close: seconds to all gauges 0", took, 1, "s")
        more = (high - first) / 2**20
        yield Row("  memory: high-water above that of the first 10 %", more, MORE_MIB, "MiB")


def killed(options):
    """Clients that are killed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(options.scaled(10_000), hard - SPARE_FILES) // PROCESSES * PROCESSES
    with Served() as memod, memod.admin() as admin, contextlib.ExitStack() as stack:
        crowds = [stack.enter_context(Crowd(memod)) for _ in range(PROCESSES)]
        for crowd in crowds:
            crowd.start("connect", count // PROCESSES)
        for crowd in crowds:
            crowd.answer()
        assert memod.gauges(admin)["sessions"] == count
        say(f"{count} sessions on as many connections, of {PROCESSES} clients to be killed")
        begin = time.monotonic()
        for crowd in crowds:
            os.kill(crowd.process.pid, signal.SIGKILL)
        gauges_zero(memod, admin)
        took = time.monotonic() - begin
        yield Row(f"{count} sessions of killed clients: seconds to all gauges 0", took, 2, "s")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def ttl_for(count):
    """Long enough for as many to be leased, or called, before the first one lapses; in seconds."""
    return 5 + count // 20_000


def sleep_until(when):
    time.sleep(max(0, when - time.monotonic()))


def lapse(memod, admin, begin, left=0):
    """Waits until all leases have lapsed, the first of them at `begin`; returns the seconds since."""
    sleep_until(begin)
    # Asked seldom, and not for the gauges, which come with totals over all sessions: the others that
    # call are not to wait for this one.
    few = admin_pb2.ListSessionsRequest(page_size=left + 1)
    while len(admin.call("/memo.v1.AdminService/ListSessions", few).sessions) > left:
        assert time.monotonic() < begin + GIVE_UP, "sessions are left"
        time.sleep(0.1)
    if left == 0:
        gauges_zero(memod, admin)
    return time.monotonic() - begin


def leases(options):
    """Leased sessions, and nothing in them."""
    count = options.scaled(1_000_000)
    ttl = ttl_for(count)
    with Served() as memod, memod.admin() as admin, Crowd(memod) as crowd:
        begin = time.monotonic()
        crowd.do("lease", 1000, 1)  # what memod itself takes
        lapse(memod, admin, begin + 1)
        before = memod.resident()
        took = crowd.do("lease", count, ttl)["seconds"]
        say(f"{count} sessions leased in {took:.1f} s")
        each = (memod.resident() - before) / count
        yield Row(f"{count} leased sessions: memory of each", each, 600, "B")
        begin = time.monotonic()
        renewed = crowd.do("renew")
        assert renewed["lost"] == 0, renewed
        yield Row("  one renewal round", renewed["seconds"], 10, "s")
        say(f"waiting {ttl} s for them to lapse")
        yield Row("  drop all", lapse(memod, admin, begin + ttl), 5, "s")
        say(f"{(memod.resident() - before) / 2**20:.1f} MiB more resident than before")


def drops(options):
    """What others wait for while very many sessions go."""
    count = options.scaled(1_000_000)
    ttl = ttl_for(count)
    with Served() as memod, memod.admin() as admin, Crowd(memod) as crowd, Crowd(memod) as other:
        took = crowd.do("lease-adders", count, ttl)["seconds"]
        crowd.do("renew")
        say(f"{count} sessions leased in {took:.1f} s")
        took = crowd.do("call")["seconds"]
        begin = time.monotonic() + ttl
        assert crowd.do("renew")["lost"] == 0
        say(f"and called once each in {took:.1f} s; waiting {ttl} s for them to lapse")
        other.do("hits")
        sleep_until(begin - ttl / 2)
        before = other.do("p99")
        sleep_until(begin)
        other.do("hits")
        crowd.start("outlive")
        say(f"gone in {lapse(memod, admin, begin, left=1):.1f} s")
        meanwhile = other.do("p99")
        say(f"hits before: {before}")
        say(f"hits meanwhile: {meanwhile}")
        ratio = meanwhile["p99_us"] / before["p99_us"]
        yield Row(f"p99 of hits while {count} sessions of an entry go, to before", ratio, 2, "x")
        late = crowd.answer()["after"] - ttl
        yield Row("  the last of them answers so long after its time", late, max(0.1, ttl / 100), "s")
        gauges_zero(memod, admin)


def silent(_):
    """A client that falls silent, found by keepalive."""
    run = subprocess.run(
        [sys.executable, "-B", SILENT_TEST], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(run.stdout, flush=True)
    yield Row("silent client, keepalive 1 s / 1 s: 1 is a failure", int(run.returncode != 0), 0)


ALL = {
    "random": random_operations,
    "lives": lives,
    "killed": killed,
    "leases": leases,
    "drops": drops,
    "silent": silent,
}
