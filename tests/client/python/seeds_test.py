"""The experiments that memod grew from: what functools.lru_cache does to the instances of a class
whose method it decorates, and what memod does instead."""

import functools
import gc
import os
import pathlib
import unittest
import weakref

from fixture import MemodTest
from harness import SOURCE_DIR, eventually
from seeds import CALCULATE, Dataset, SlowAdder

SHORT_LIVED = 20_000 // int(os.environ.get("MEMOD_TEST_SCALE", "1"))
WEATHER = pathlib.Path(SOURCE_DIR, "tests/data/seattle-weather.csv").read_text()


class LeakyAdder:
    """The class in question. Its cache is the class's, and has every instance in its keys."""

    @functools.lru_cache(maxsize=None)
    def calculate(self, *numbers):
        return sum(numbers)


def resident_kilobytes():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4


class SeedsTest(MemodTest):
    def test_lru_cache_on_a_method_keeps_the_instance_and_memod_does_not(self):
        leaky = LeakyAdder()
        leaky.calculate(1, 2)
        watched = weakref.ref(leaky)
        del leaky
        gc.collect()
        self.assertIsNotNone(watched())  # the leak, B019

        adder = SlowAdder(self.channel)
        adder.calculate(1, 2)
        watched = weakref.ref(adder)
        self.assertEqual(self.gauges()["entries"], 1)
        del adder  # its last reference: no collection is needed
        self.assertIsNone(watched())
        self.check_nothing_is_left()

    def test_what_is_slow_is_slow_once(self):
        adder = SlowAdder(self.channel, constant=10, delay=0.3)
        self.assertEqual(adder.how(1, 2), (13, "miss"))
        self.assertEqual(adder.how(1, 2), (13, "hit"))
        info = adder.session.cache_info(CALCULATE)
        self.assertEqual(info[:4], (1, 1, 128, 1))
        self.assertEqual(info.computations, 1)
        self.assertGreaterEqual(info.compute_seconds_saved, 0.3)

    def test_counters_are_those_of_functools(self):
        adder = SlowAdder(self.channel)
        model = functools.lru_cache(maxsize=128)(lambda *numbers: sum(numbers))
        for n in [1, 2, 1, 3, 1, 2, 4] + list(range(200)) + [199, 0]:
            self.assertEqual(adder.calculate(n), model(n))
        self.assertEqual(adder.session.cache_info(CALCULATE)[:4], model.cache_info())
        adder.session.clear(CALCULATE)
        model.cache_clear()
        self.assertEqual(adder.session.cache_info(CALCULATE)[:4], model.cache_info())

    def test_equal_instances_are_two(self):
        first, second = SlowAdder(self.channel), SlowAdder(self.channel)
        self.assertEqual(first.how(1), (1, "miss"))
        self.assertEqual(second.how(1), (1, "miss"))
        self.assertEqual(first.how(1), (1, "hit"))
        del first
        eventually("one instance is left", lambda: self.gauges()["instances"] == 1)
        self.assertEqual(second.how(1), (1, "hit"))
        self.assertEqual(self.gauges()["entries"], 1)

    def test_a_changed_attribute_gives_fresh_answers(self):
        adder = SlowAdder(self.channel, constant=1)
        self.assertEqual(adder.how(1), (2, "miss"))
        adder.constant = 5
        self.assertEqual(adder.how(1), (6, "miss"))
        adder.constant = 1
        self.assertEqual(adder.how(1), (2, "hit"))

    def test_a_changed_state_gives_fresh_answers(self):
        data = Dataset(self.channel, "a,b\n1,1\n2,2\n3,3\n4,4\n")
        self.assertEqual(data.correlate("a", "b"), (1.0, "miss"))
        self.assertEqual(data.correlate("a", "b"), (1.0, "hit"))
        receipt = data.replace("a,b\n1,4\n2,3\n3,2\n4,1\n")
        self.assertEqual(receipt.entries, 1)
        self.assertGreater(receipt.bytes, 0)
        self.assertEqual(data.correlate("a", "b"), (-1.0, "miss"))

    def test_results_of_a_dataset_go_with_it(self):
        data = Dataset(self.channel, WEATHER)
        correlation, how = data.correlate("temp_max", "wind")
        self.assertAlmostEqual(correlation, -0.1649, places=4)
        self.assertEqual(how, "miss")
        self.assertEqual(data.correlate("temp_max", "wind"), (correlation, "hit"))
        del data
        self.check_nothing_is_left()

    def test_instances_that_live_for_one_request_each(self):
        most, before = 0, None
        for n in range(SHORT_LIVED):
            SlowAdder(self.channel).calculate(1, 2)
            if n % 500 == 0:
                most = max(most, self.gauges()["entries"])
            if n == SHORT_LIVED // 4:
                before = resident_kilobytes()
        grown = resident_kilobytes() - before
        self.check_nothing_is_left()
        info = self.admin.call("/memo.v1.AdminService/GetCacheInfo").total
        self.assertEqual((info.hits, info.misses, info.currsize), (0, SHORT_LIVED, 0))
        print(f"{SHORT_LIVED} instances: at most {most} entries, grown by {grown} kB", flush=True)
        self.assertLess(most, 100)  # those on their way out
        # A session that stays costs 27 kB here. gRPC 1.51 itself leaves 0.45 kB of each stream.
        self.assertLess(grown, SHORT_LIVED)


if __name__ == "__main__":
    unittest.main()
