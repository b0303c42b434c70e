"""Calls made while their session moves to another server, or to the same when it is back."""

import concurrent.futures
import gc
import queue
import threading
import time
import unittest

import grpc
from fixture import MemodTest
from harness import CALCULATE, SOON, Memod, eventually
from memo.examples.v1 import slow_adder_pb2
from recorder import RecordedTest
from seeds import SlowAdder, adder_state

import memo

CALLERS = 6
KILLS = 4
KEEPS_ALL = f"""
[[method]]
name = "{CALCULATE}"
max_entries = "unbounded"
"""
NO_SERVER = "failed to connect to all addresses"


class RetryTest(MemodTest):
    def kill(self, *adders):
        """Until those have noticed: what is called before that is in flight."""
        self.memod.process.kill()
        self.memod.wait()
        eventually("it is lost", lambda: not any(each.session._hold.held for each in adders))

    def restart(self, config="", *flags):
        listen = f"--server.listen={self.memod.address}"
        self.memod = self.enterContext(Memod(listen, *flags, config=config))
        self.admin = self.enterContext(self.memod.admin())

    def computations(self):
        return self.admin.call("/memo.v1.AdminService/GetCacheInfo").total.computations

    def in_threads(self, *calls):
        threads = self.enterContext(concurrent.futures.ThreadPoolExecutor(len(calls)))
        return [threads.submit(call) for call in calls]

    def check_waits(self, call):
        with self.assertRaises(grpc.FutureTimeoutError):
            call.result(timeout=0.1)

    def check_failed(self, failed, code, details):
        self.assertEqual(failed.code(), code)
        self.assertIn(details, failed.details())

    def test_under_load_only_what_was_in_flight_fails(self):
        adder = SlowAdder(self.channel)
        over = threading.Event()
        answered = [0] * CALLERS

        def call(caller):
            """The numbers of those that failed, and how."""
            failed = {}
            number = caller
            while not over.is_set():
                number += CALLERS  # each number once
                try:
                    if caller % 2:
                        sum_of = adder.start(number).result(SOON).sum
                    else:
                        sum_of = adder.calculate(number, timeout=SOON)
                    self.assertEqual(sum_of, number)
                    answered[caller] += 1
                except grpc.RpcError as error:
                    failed[number] = error
            return failed

        def all_get_on():
            before = list(answered)
            eventually("all get on", lambda: all(a > b + 20 for a, b in zip(answered, before)))

        callers = self.in_threads(*(lambda caller=n: call(caller) for n in range(CALLERS)))
        for _ in range(KILLS):
            all_get_on()
            self.kill()
            self.restart(KEEPS_ALL)
        all_get_on()
        over.set()
        for caller in callers:
            # Some may be sent before the loss of the connection is noticed.
            for number, error in caller.result(SOON).items():
                self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE)
                self.assertNotIn(NO_SERVER, error.details())
                self.assertEqual(adder.how(number), (number, "miss"), "it was made again")

    def test_what_a_server_had_begun_is_not_made_again(self):
        reopened = threading.Event()
        adder = SlowAdder(self.channel, delay=3600, on_reopened=reopened.set)
        started = adder.start(1)
        (called,) = self.in_threads(lambda: adder.calculate(2))
        eventually("both are in flight", lambda: self.gauges()["flights"] == 2)
        self.kill()
        for failed in (started.exception(SOON), called.exception(SOON)):
            self.assertEqual(failed.code(), grpc.StatusCode.UNAVAILABLE)
        self.restart()
        self.assertTrue(reopened.wait(SOON))
        self.assertEqual((self.gauges()["flights"], self.computations()), (0, 0))

    def test_what_a_server_that_stops_had_not_begun_is_made_again(self):
        self.kill()
        self.restart("", "--compute.threads=1", "--server.drain_timeout=0s")
        busy, adder = SlowAdder(self.channel, delay=3600), SlowAdder(self.channel)
        begun = busy.start(1)
        eventually("it is in flight", lambda: self.gauges()["flights"] == 1)
        started = adder.start(1)
        (called,) = self.in_threads(lambda: adder.how(2))
        eventually("both are queued", lambda: self.gauges()["queued"] == 2)
        self.assertEqual(self.memod.stop(), 0)
        self.check_failed(begun.exception(SOON), grpc.StatusCode.ABORTED, "the session was closed")
        self.restart()
        self.assertEqual((started.result(SOON).sum, called.result(SOON)), (1, (2, "miss")))
        self.assertEqual(self.computations(), 2)

    def test_without_a_server_they_wait_until_it_is_back(self):
        adder = SlowAdder(self.channel)
        self.kill(adder)
        started = adder.start(1)
        told = queue.SimpleQueue()
        started.add_done_callback(lambda _: 1 / 0)
        started.add_done_callback(told.put)
        how, info = self.in_threads(lambda: adder.how(2), adder.session.cache_info)
        self.check_waits(started)
        self.assertTrue(started.running() and started.is_active())
        self.assertIsNone(started.time_remaining())
        self.assertFalse(how.done() or info.done())
        with self.assertLogs("memo") as logs:
            self.restart()
            self.assertEqual(started.result(SOON).sum, 1)
            self.assertIs(told.get(timeout=SOON), started)
        self.assertIn("ZeroDivisionError", logs.output[0])
        self.assertEqual(started.code(), grpc.StatusCode.OK)
        self.assertEqual(memo.cache_status(started), "miss")
        self.assertIsNone(started.exception())
        self.assertIsNone(started.traceback())
        self.assertTrue(started.done())
        self.assertFalse(started.cancel() or started.cancelled())
        self.assertEqual(how.result(SOON), (2, "miss"))
        self.assertEqual(info.result(SOON).errors, 0)
        self.assertEqual(self.computations(), 2)

    def test_a_state_that_waits_is_the_sessions_in_the_end(self):
        adder = SlowAdder(self.channel)
        self.kill(adder)
        (updated,) = self.in_threads(lambda: adder.session.update_state(adder_state(delay=0.2)))
        self.restart()
        updated.result(SOON)
        begin = time.monotonic()
        adder.calculate(1)
        self.assertGreater(time.monotonic() - begin, 0.2)

    def test_the_deadline_is_that_of_the_whole_call(self):
        adder = SlowAdder(self.channel)
        self.kill(adder)
        begin = time.monotonic()
        started = adder.start(1, timeout=0.3)
        with self.assertRaises(grpc.RpcError) as failed:
            adder.calculate(1, timeout=0.3)
        for error in (failed.exception, started.exception(SOON)):
            self.check_failed(error, grpc.StatusCode.DEADLINE_EXCEEDED, f"UNAVAILABLE: {NO_SERVER}")
            self.assertEqual((error.initial_metadata(), error.trailing_metadata()), ((), ()))
            self.assertIn("DEADLINE_EXCEEDED", str(error))
        took = time.monotonic() - begin
        self.assertTrue(0.3 <= took < 2, took)
        self.assertEqual(started.time_remaining(), 0)
        self.assertIsNotNone(started.traceback())

    def test_cancelled_it_ends_at_once(self):
        adder = SlowAdder(self.channel)
        self.kill(adder)
        started = adder.start(1)
        told = queue.SimpleQueue()
        started.add_done_callback(told.put)
        self.check_waits(started)
        self.assertTrue(started.cancel())
        self.assertTrue(started.done() and started.cancelled())
        self.assertFalse(started.cancel() or started.running())
        self.assertEqual(started.code(), grpc.StatusCode.CANCELLED)
        for ask in (started.result, started.exception, started.traceback):
            with self.assertRaises(grpc.FutureCancelledError):
                ask()
        self.assertIs(told.get(timeout=SOON), started)
        started.add_done_callback(told.put)
        self.assertIs(told.get_nowait(), started)

    def test_cancelled_in_flight_the_server_is_told(self):
        adder = SlowAdder(self.channel, delay=3600)
        cancelled, dropped = adder.start(1), adder.start(2)
        eventually("both are in flight", lambda: self.gauges()["waiters"] == 2)
        cancelled.cancel()
        eventually("one is", lambda: self.gauges()["waiters"] == 1)
        del dropped
        eventually("none is", lambda: self.gauges()["waiters"] == 0)

    def test_whoever_has_only_a_callback_is_told(self):
        adder = SlowAdder(self.channel)
        self.kill(adder)
        told = queue.SimpleQueue()
        adder.start(1).add_done_callback(told.put)
        gc.collect()
        self.restart()
        self.assertEqual(told.get(timeout=SOON).result().sum, 1)

    def test_a_callback_may_make_it_again_itself(self):
        adder = SlowAdder(self.channel, delay=0.5)
        told = queue.SimpleQueue()
        adder.start(1).add_done_callback(lambda failed: told.put(adder.calculate(1, timeout=SOON)))
        eventually("it is in flight", lambda: self.gauges()["flights"] == 1)
        self.memod.process.kill()
        self.memod.wait()
        self.restart()
        try:
            self.assertEqual(told.get(timeout=2 * SOON), 1)
        except queue.Empty:
            self.fail("the callback is stuck")

    def test_interceptors_of_the_channel_see_the_message(self):
        seen = []

        class Seeing(grpc.UnaryUnaryClientInterceptor):
            def intercept_unary_unary(self, proceed, details, request):
                seen.append(list(request.numbers))
                return proceed(details, request)

        adder = SlowAdder(grpc.intercept_channel(self.channel, Seeing()))
        self.assertEqual((adder.start(1).result(SOON).sum, adder.calculate(1)), (1, 1))
        self.kill(adder)
        started = adder.start(2)
        self.check_waits(started)
        self.restart()
        self.assertEqual(started.result(SOON).sum, 2)
        self.assertGreater(seen.count([0, 2]), 1)

    def test_a_session_that_ends_ends_what_waits(self):
        closed, dropped = SlowAdder(self.channel), SlowAdder(self.channel)
        lost = SlowAdder(self.channel, reconnect_timeout=0.3)
        self.kill(closed, dropped, lost)
        started = [adder.start(1) for adder in (closed, dropped, lost)]
        (called,) = self.in_threads(lambda: closed.calculate(1))
        self.check_waits(started[0])
        closed.session.close()
        del dropped  # a call that waits does not keep it
        for failed in (*(call.exception(SOON) for call in started), called.exception(SOON)):
            self.check_failed(failed, grpc.StatusCode.UNAVAILABLE, NO_SERVER)
        eventually("it is lost", lambda: lost.session.closed)

    def test_without_reconnecting_nothing_is_made_again(self):
        adder = SlowAdder(self.channel, reconnect_timeout=0)
        self.kill(adder)
        eventually("it is lost", lambda: adder.session.closed)
        for call in (adder.calculate, lambda n: adder.start(n).result(SOON)):
            with self.assertRaises(grpc.RpcError) as failed:
                call(1)
            self.check_failed(failed.exception, grpc.StatusCode.UNAVAILABLE, NO_SERVER)


class Scripted(grpc.GenericRpcHandler):
    """Answers each call as the next of `answers` does, else with what it was sent."""

    def __init__(self):
        self.answers = []
        self.calls = []  # what each was sent, and the time that it had left

    def service(self, details):
        ours = details.method.startswith("/scripted/")
        return grpc.unary_unary_rpc_method_handler(self.call) if ours else None

    def call(self, request, context):
        self.calls.append((request, context.time_remaining()))
        if self.answers:
            self.answers.pop(0)(context)
        return request


def session_not_found(context):
    context.set_trailing_metadata([("memo-error", "SESSION_NOT_FOUND")])
    context.abort(grpc.StatusCode.NOT_FOUND, "no such session")


def draining(context):
    context.set_trailing_metadata([("memo-error", "DRAINING")])
    context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping")


def unavailable(details):
    return lambda context: context.abort(grpc.StatusCode.UNAVAILABLE, details)


class ScriptedRetryTest(RecordedTest):
    def setUp(self):
        self.scripted = Scripted()
        self.handlers = (self.scripted,)
        super().setUp()
        self.session = memo.open_session(self.channel)
        self.method = self.session.channel.unary_unary("/scripted/")

    def test_what_no_session_was_found_for_is_made_again(self):
        for call in (self.method, lambda *how: self.method.future(*how).result(SOON)):
            self.scripted.answers = [session_not_found] * 3
            self.assertEqual(call(b"1", 0.9), b"1")
        left = [left for _, left in self.scripted.calls]
        self.assertEqual(len(left), 8)
        for first, last in ((left[0], left[3]), (left[4], left[7])):
            self.assertLess(last, first - 0.02)  # its pauses are longer than gRPC rounds

    def test_a_server_that_stops_is_not_asked_again(self):
        self.scripted.answers = [draining] * 2
        for call in (self.method, lambda *how: self.method.future(*how).result(SOON)):
            with self.assertRaises(grpc.RpcError) as failed:
                call(b"", 0.3)
            self.assertEqual(failed.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
            self.assertIn("UNAVAILABLE: the server is stopping", failed.exception.details())
        self.assertEqual(len(self.scripted.calls), 2)

    def test_what_a_server_says_of_its_own_upstream_is_the_answer(self):
        # As gRPC says it here, and there of what it was told.
        for details in (NO_SERVER, "Error received from peer ipv4", ""):
            for call in (self.method, lambda request: self.method.future(request).result(SOON)):
                self.scripted.answers = [unavailable(details)]
                with self.assertRaises(grpc.RpcError) as failed:
                    call(b"")
                self.assertEqual(failed.exception.details(), details)
        self.assertEqual(len(self.scripted.calls), 6)

    def test_it_is_made_again_as_it_was(self):
        make = self.session.channel.unary_unary(
            "/scripted/", slow_adder_pb2.CalculateRequest.SerializeToString
        )
        self.scripted.answers = [session_not_found]
        request = slow_adder_pb2.CalculateRequest(numbers=[1])
        call = make.future(request)
        request.numbers[0] = 2
        sent = slow_adder_pb2.CalculateRequest.FromString(call.result(SOON))
        self.assertEqual((list(sent.numbers), len(self.scripted.calls)), ([1], 2))
        with self.assertRaises(grpc.RpcError) as refused, self.assertLogs("grpc"):
            make.future("not a message").result()
        self.assertEqual(refused.exception.details(), "Exception serializing request!")

    def test_a_channel_that_is_closed_ends_what_waits(self):
        self.scripted.answers = [session_not_found] * 100
        call = self.method.future(b"")
        eventually("it was made", lambda: self.scripted.calls)
        self.channel.close()
        how = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.CANCELLED)  # between two, or in one
        self.assertIn(call.exception(SOON).code(), how)


if __name__ == "__main__":
    unittest.main()
