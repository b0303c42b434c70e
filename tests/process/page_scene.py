"""The memod that page_test.mjs looks at, and its clients. Reads what to do from stdin, a line each,
and answers each with a line when it is done."""

import sys

from harness import CALCULATE, FIBONACCI, SOURCE_DIR, Memod, adder, dataset, dataset_pb2
from harness import eventually, fibonacci, numbers

CORRELATE = "/memo.examples.v1.Dataset/Correlate"
WEATHER = SOURCE_DIR / "tests/data/seattle-weather.csv"
LONG = 3600  # seconds that no test waits for


class Scene:
    def __init__(self):
        self.http = "127.0.0.1:0"
        self.start()

    def start(self):
        """memod, where it was before; says where."""
        self.memod = Memod(f"--admin.http={self.http}", "--server.drain_timeout=1h")
        self.http = self.memod.http_address
        self.client = self.memod.client()
        self.sessions = []
        return self.http

    def open(self, count):
        """Sessions, adders; says the id of the first of them."""
        opened = [self.client.open(adder()) for _ in range(int(count))]
        self.sessions += opened
        return opened[0].id

    def close(self, count):
        """The sessions last opened."""
        for _ in range(int(count)):
            self.sessions.pop().close()

    def hit(self, count):
        """As many hits on the first session, and a miss if it is the first time."""
        for _ in range(int(count)):
            self.sessions[0].call(CALCULATE, numbers(1, 2))

    def miss(self, first, count):
        for n in range(int(first), int(first) + int(count)):
            self.sessions[0].call(CALCULATE, numbers(n))

    def work(self):
        """Something of everything: examples at work for a moment."""
        for session in self.sessions[:4]:
            session.call(FIBONACCI, fibonacci(20))
        data = self.client.open(dataset(WEATHER.read_text()))
        self.sessions.append(data)
        for _ in range(2):
            data.call(CORRELATE, dataset_pb2.CorrelateRequest(x="wind", y="temp_max", resamples=100))

    def drain(self):
        """Asks memod to stop while a call holds it up."""
        busy = self.client.open(adder(delay=LONG))
        self.sessions.append(busy)
        self.call = busy.start(CALCULATE, numbers(1), timeout=None)
        with self.memod.admin() as admin:
            eventually("the call runs", lambda: self.memod.gauges(admin)["flights"] == 1)
        self.memod.send()
        self.memod.wait_for_log("draining")

    def kill(self):
        self.memod.process.kill()
        self.memod.wait()
        self.leave()

    def leave(self):
        """Ends memod, unless it was killed."""
        self.client.channel.close()
        self.memod.__exit__()


def main():
    scene = Scene()
    try:
        print(scene.http, flush=True)
        for line in sys.stdin:
            name, *arguments = line.split()
            print(getattr(scene, name)(*arguments) or "done", flush=True)
    finally:  # also when the test that told it what to do is gone
        scene.memod.process.kill()


main()
