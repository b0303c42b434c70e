"""/metrics, as Prometheus reads it: well-formed by promtool, and counters that only grow."""

import re
import subprocess
import time
import unittest
import urllib.request

from harness import CALCULATE, FIBONACCI, SOON, SOURCE_DIR, Memod, adder, fibonacci, numbers

PROMTOOL = SOURCE_DIR / "build/tools/promtool"  # by tests/install-tools
SAMPLE = re.compile(r'^(\w+)(?:\{(\w+)="([^"]*)"\})? (\S+)$')

CONFIG = f"""
[[method]]
name = "{CALCULATE}"
max_entries = 2
max_entries_total = 3
[[method]]
name = "{FIBONACCI}"
max_entries = "unbounded"
"""


class MetricsTest(unittest.TestCase):
    def setUp(self):
        self.memod = self.enterContext(Memod(config=CONFIG))
        self.client = self.enterContext(self.memod.client())
        self.admin = self.enterContext(self.memod.admin())

    def text(self):
        code, text = self.memod.get("/metrics")
        self.assertEqual(code, 200)
        return text

    def scrape(self):
        """Each sample's value, by its name and its label's value ("" if it has no label)."""
        samples = {}
        for line in self.text().splitlines():
            if not line.startswith("#"):
                name, _, label, value = SAMPLE.match(line).groups(default="")
                self.assertNotIn((name, label), samples)
                samples[name, label] = float(value)
        return samples

    def calls(self, session):
        """3 misses and a hit on Calculate, of which an entry is evicted; an error."""
        for n in (1, 2, 3, 3):
            session.call(CALCULATE, numbers(n))
        with self.assertRaises(Exception):
            session.call(FIBONACCI, fibonacci(-1))

    def test_promtool_finds_nothing_to_say(self):
        self.calls(self.client.open(adder()))
        check = [PROMTOOL, "check", "metrics"]
        done = subprocess.run(
            check, input=self.text(), capture_output=True, text=True, timeout=SOON
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_promtool_would_find_something(self):
        check = [PROMTOOL, "check", "metrics"]
        text = self.text().replace("memod_cache_hits_total", "memod_cache_hits")
        done = subprocess.run(check, input=text, capture_output=True, text=True, timeout=SOON)
        self.assertNotEqual(done.returncode, 0)

    def test_content_type_names_the_version_of_the_format(self):
        url = f"http://{self.memod.http_address}/metrics"
        with urllib.request.urlopen(url, timeout=SOON) as answer:
            self.assertEqual(
                answer.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8"
            )

    def test_each_counter_counts_what_it_says(self):
        session = self.client.open(adder(delay=0.01))
        self.calls(session)
        samples = self.scrape()
        counted = {name: value for (name, label), value in samples.items() if label == CALCULATE}
        self.assertGreaterEqual(counted.pop("memod_compute_seconds_saved_total"), 0.01)
        self.assertGreater(counted.pop("memod_cache_bytes"), 0)
        self.assertGreaterEqual(counted.pop("memod_compute_seconds_total"), 0.03)
        self.assertEqual(
            counted,
            {
                "memod_cache_hits_total": 1,
                "memod_cache_misses_total": 3,
                "memod_cache_coalesced_total": 0,
                "memod_cache_evictions_total": 1,
                "memod_cache_expirations_total": 0,
                "memod_cache_too_large_total": 0,
                "memod_computations_total": 3,
                "memod_computation_errors_total": 0,
                "memod_cache_entries": 2,
                "memod_cache_max_entries": 2,
                "memod_cache_max_entries_all_sessions": 3,
            },
        )
        self.assertEqual(samples["memod_computation_errors_total", FIBONACCI], 1)
        self.assertEqual(samples["memod_cache_max_entries", FIBONACCI], float("inf"))

    def test_gauges_of_the_server(self):
        begin = time.time()
        sessions = [self.client.open(adder()) for _ in range(3)]
        samples = self.scrape()
        self.assertEqual(samples["memod_sessions", ""], 3)
        self.assertEqual(samples["memod_instances", ""], 3)
        self.assertEqual(samples["memod_flights", ""], 0)
        self.assertLess(samples["process_start_time_seconds", ""], begin)
        self.assertGreater(samples["process_start_time_seconds", ""], begin - 60)
        version = subprocess.run([self.memod.process.args[0], "--version"], capture_output=True)
        self.assertEqual(samples["memod_build_info", version.stdout.decode().split()[1]], 1)
        for session in sessions:
            session.close()
        self.assertEqual(self.scrape()["memod_sessions", ""], 0)

    def test_series_do_not_grow_with_sessions_and_tell_none_of_their_names(self):
        before = self.scrape().keys()
        session = self.client.open(adder())
        self.calls(session)
        self.assertEqual(self.scrape().keys(), before)
        self.assertNotIn(session.id, self.text())
        self.assertNotIn(session.handle, self.text())

    def test_counters_never_go_down_however_sessions_and_entries_do(self):
        last = self.scrape()

        def counters_went_up_by(hits):
            nonlocal last
            now = self.scrape()
            for (name, label), value in now.items():
                if name.endswith("_total"):
                    self.assertGreaterEqual(value, last[name, label], name)
            key = "memod_cache_hits_total", CALCULATE
            self.assertEqual(now[key] - last[key], hits)
            last = now

        first, second = self.client.open(adder()), self.client.open(adder())
        self.calls(first)
        self.calls(second)
        counters_went_up_by(2)
        first.clear()
        counters_went_up_by(0)
        first.close()
        counters_went_up_by(0)
        self.admin.call("/memo.v1.AdminService/ClearCache")
        counters_went_up_by(0)
        self.calls(second)
        counters_went_up_by(1)
        second.close()
        counters_went_up_by(0)
        self.assertEqual(last["memod_cache_entries", CALCULATE], 0)
        self.assertEqual(last["memod_cache_hits_total", CALCULATE], 3)


if __name__ == "__main__":
    unittest.main()
