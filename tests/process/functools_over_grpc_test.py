"""memod over gRPC beside Python's functools.lru_cache: on any trace of calls the same calls are
computed, and cache_info says the same."""

import functools
import random
import unittest

import grpc

from harness import CALCULATE, Memod, adder, metadata_of, numbers

MAXSIZES = (0, 1, 2, 7, 128, "unbounded", -5)
CALLS = 10_000  # in all
TOO_MUCH = 2**63 - 1  # with one more, the sum does not fit, and the call is an error


class Model:
    """What lru_cache does with the same function."""

    def __init__(self, maxsize):
        self.computed = False
        unbounded = maxsize == "unbounded"
        self.cached = functools.lru_cache(None if unbounded else maxsize)(self.calculate)

    def calculate(self, *each):
        self.computed = True
        if sum(each) > TOO_MUCH:
            raise OverflowError
        return sum(each)

    def call(self, each):
        """The sum, or None for an error, and whether it was computed."""
        self.computed = False
        try:
            return self.cached(*each), self.computed
        except OverflowError:
            return None, self.computed


class Remote:
    """The same on a session of memod."""

    def __init__(self, session):
        self.session = session

    def call(self, each):
        call = self.session.start(CALCULATE, numbers(*each))
        try:
            answer = call.result().sum
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.OUT_OF_RANGE, error
            return None, True
        return answer, {"hit": False, "miss": True}[metadata_of(call)["memo-cache"]]

    def cache_info(self):
        info = self.session.info(CALCULATE)
        maxsize = info.maxsize if info.HasField("maxsize") else None
        return info.hits, info.misses, maxsize, info.currsize


def random_call(random, keys):
    """Often one of few, so that there are hits at every size; sometimes one that is an error."""
    if random.random() < 0.02:
        return TOO_MUCH, 1 + random.randrange(2)
    return int(keys * random.random() ** 2), 1


class FunctoolsTest(unittest.TestCase):
    def check_trace(self, maxsize, seed, calls):
        trace = random.Random(seed)
        keys = 3 * maxsize if isinstance(maxsize, int) and maxsize > 0 else 60
        bound = maxsize if isinstance(maxsize, int) else f'"{maxsize}"'
        config = f'[[method]]\nname = "{CALCULATE}"\nmax_entries = {bound}\n'
        with Memod(config=config) as memod, memod.client() as client:
            session = client.open(adder())
            model, remote = Model(maxsize), Remote(session)
            self.assertEqual(remote.cache_info(), model.cached.cache_info())
            for n in range(calls):
                each = random_call(trace, keys)
                self.assertEqual(remote.call(each), model.call(each), f"call {n}: {each}")
                if n % 20 == 0:
                    self.assertEqual(remote.cache_info(), model.cached.cache_info(), f"call {n}")
                if n == calls // 2:
                    session.clear(CALCULATE)
                    model.cached.cache_clear()
                    self.assertEqual(remote.cache_info(), model.cached.cache_info())
            self.assertEqual(remote.cache_info(), model.cached.cache_info())
            print(f"max_entries {maxsize!s:>9}: {model.cached.cache_info()}", flush=True)

    def test_same_computations_and_same_cache_info(self):
        for seed, maxsize in enumerate(MAXSIZES):
            with self.subTest(maxsize=maxsize):
                self.check_trace(maxsize, seed, CALLS // len(MAXSIZES) + 1)


if __name__ == "__main__":
    unittest.main()
