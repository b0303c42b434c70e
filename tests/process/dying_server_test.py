"""Servers that die, stop, or have less than they need, under load: each call is answered rightly or
refused, nobody is stuck, and in the end nothing is left. (Those that are told to stop: shutdown_test,
rolling_restart_test.)"""

import os
import signal
import time
import unittest

import grpc

from google.protobuf import duration_pb2

from harness import CALCULATE, SOON, Load, Memod, adder, eventually, metadata_of, numbers
from memo.v1 import session_pb2

SESSIONS = 4
RELEASED_WITHIN = 2  # seconds


class DyingServerTest(unittest.TestCase):
    def start(self, *flags):
        memod = self.enterContext(Memod(*flags))
        return memod, self.enterContext(memod.admin())

    def assert_nothing_is_left(self, memod, admin):
        begin = time.monotonic()
        eventually("nothing is left", lambda: not any(memod.gauges(admin).values()))
        self.assertLess(time.monotonic() - begin, RELEASED_WITHIN)

    def test_sigkill_under_load_with_clients_that_recover(self):
        stays, admin = self.start()
        dies = self.enterContext(Memod())
        with Load(SESSIONS, [dies.address, stays.address]) as load:
            gauges = lambda: stays.gauges(admin)  # noqa: E731
            eventually("half of them are here", lambda: gauges()["sessions"] == SESSIONS // 2)
            eventually("calls go on", lambda: load.so_far()["calls"] > 100)
            dies.process.kill()
            dies.wait()
            begin = time.monotonic()
            eventually("all of them are here", lambda: gauges()["sessions"] == SESSIONS)
            print(f"moved after {time.monotonic() - begin:.2f} s", flush=True)
            before = load.so_far()
            eventually(
                "and nothing fails any more",
                lambda: (now := load.so_far())["calls"] > before["calls"] + 1000
                and now["failed"] == before["failed"],
            )
            result = load.so_far()
        print(result, flush=True)
        self.assertEqual(load.process.returncode, 0, "a caller that is stuck would not end")
        self.assertEqual((result["wrong"], result["losses"]), (0, 0))
        self.assertEqual(result["moves"], SESSIONS // 2)
        # Those under way fail, and who calls before gRPC has noticed; the others wait and move along.
        self.assertLessEqual(result["failed"], 2 * SESSIONS)
        for line in load.errors:
            self.assertRegex(line, "^14 (Socket closed|Broken pipe|.*Connection reset by peer)")
        self.assert_nothing_is_left(stays, admin)

    def test_sigstop_longer_than_the_ttl(self):
        ttl = 2
        memod, admin = self.start("--session.heartbeat_timeout=2s")
        client = self.enterContext(memod.client())
        request = session_pb2.LeaseSessionRequest(ttl=duration_pb2.Duration(seconds=ttl))
        request.state.Pack(adder())
        leased = client.call("/memo.v1.SessionService/LeaseSession", request)
        handle = [("memo-session", leased.handle)]
        renew = lambda: client.call(  # noqa: E731
            "/memo.v1.SessionService/RenewSession", metadata=handle
        )
        self.assertEqual(client.call(CALCULATE, numbers(1, 2), handle).sum, 3)
        held = client.open(adder())
        gauges = memod.gauges(admin)
        self.assertEqual((gauges["sessions"], gauges["holders"], gauges["leases"]), (2, 1, 1))
        renew()
        self.addCleanup(memod.send, signal.SIGCONT)
        memod.send(signal.SIGSTOP)
        os.waitpid(memod.process.pid, os.WUNTRACED)  # until it has stopped
        waiting = client.start(CALCULATE, numbers(1, 2), handle)
        over = time.monotonic() + 1.5 * ttl
        eventually("the ttl is over", lambda: time.monotonic() > over)
        self.assertFalse(waiting.done())
        memod.send(signal.SIGCONT)
        # Each has a chance to renew.
        renew()
        self.assertEqual(waiting.result().sum, 3)
        self.assertEqual(metadata_of(waiting)["memo-cache"], "hit")
        self.assertEqual(held.call(CALCULATE, numbers(1, 2)).sum, 3)
        self.assertEqual(memod.log("session closed"), [])
        renew()
        begin = time.monotonic()
        line = memod.wait_for_log("session closed", session=leased.session_id)
        took = time.monotonic() - begin
        print(f"lapsed after {took:.2f} s", flush=True)
        self.assertEqual((line["reason"], line["entries"]), ("lease lapsed", 1))
        self.assertLess(took, ttl + 1)
        held.close()
        self.assert_nothing_is_left(memod, admin)

    def outcomes(self, calls, expected):
        """How many were answered, and how many refused for a limit; nothing else may happen."""
        answered = refused = 0
        for call, want in zip(calls, expected):
            try:
                self.assertEqual(call.result(timeout=SOON).sum, want)
                answered += 1
            except grpc.RpcError as error:
                self.assertEqual(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED, error)
                self.assertEqual(metadata_of(error)["memo-error"], "LIMIT")
                self.assertIn("compute.queue", error.details())
                refused += 1
        return answered, refused

    def test_compute_queue_full(self):
        threads, queue, callers = 2, 3, 20
        memod, admin = self.start(f"--compute.threads={threads}", f"--compute.queue={queue}")
        client = self.enterContext(memod.client())
        session, endless = client.open(adder()), client.open(adder(delay=3600))
        self.assertEqual(session.call(CALCULATE, numbers(1, 2)).sum, 3)

        def soon(what, **gauges):
            eventually(what, lambda: gauges.items() <= memod.gauges(admin).items())

        running = [endless.start(CALCULATE, numbers(n)) for n in range(threads)]
        soon("every thread is busy", flights=threads, queued=0)
        calls = [session.start(CALCULATE, numbers(n, n)) for n in range(callers)]
        soon("it is full", queued=queue, flights=threads + queue, waiters=threads + queue)
        self.assertEqual(session.cached(CALCULATE, numbers(1, 2)), "hit", "which needs no thread")
        with self.assertRaises(grpc.RpcError) as refused:
            client.open(adder())
        self.assertEqual(refused.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        refused_now = lambda: sum(call.done() for call in calls) == callers - queue
        eventually("all others are refused", refused_now)
        endless.close()
        for call in running:
            self.assertEqual(metadata_of(call.exception())["memo-error"], "SESSION_CLOSED")
        answered = self.outcomes(calls, [2 * n for n in range(callers)])
        self.assertEqual(answered, (queue, callers - queue))
        # Whoever was refused may ask again.
        for n in range(callers):
            self.assertEqual(session.call(CALCULATE, numbers(n, n)).sum, 2 * n)
        soon("it is idle", queued=0, flights=0, waiters=0, timers=0, builds=0, sessions=1)
        session.close()
        self.assert_nothing_is_left(memod, admin)

    def test_over_the_memory_budget(self):
        bound = 16 << 10
        memod, admin = self.start(f"--cache.max_bytes={bound}B")
        client = self.enterContext(memod.client())
        sessions = [client.open(adder()) for _ in range(SESSIONS)]
        for batch in range(20):
            # Some 900 bytes each: twenty batches are far more than there is room for.
            summed = [numbers(*[batch] * 400, n) for n in range(8)]
            calls = [s.start(CALCULATE, request) for s in sessions for request in summed]
            for call, n in zip(calls, list(range(8)) * SESSIONS):
                self.assertEqual(call.result().sum, 400 * batch + n)
            gauges = memod.gauges(admin)
            self.assertLessEqual(gauges["bytes"], bound)
            self.assertGreater(gauges["entries"], 0)
        total = admin.call("/memo.v1.AdminService/GetCacheInfo").total
        self.assertEqual(total.computations - total.evictions, total.currsize)
        self.assertGreater(total.evictions, 500)
        # The last is still there, for everybody else is older.
        self.assertEqual(sessions[-1].cached(CALCULATE, summed[-1]), "hit")
        for session in sessions:
            session.close()
        self.assert_nothing_is_left(memod, admin)


if __name__ == "__main__":
    unittest.main()
