"""What becomes of a session whose connection is lost, or whose server."""

import contextlib
import gc
import queue
import signal
import threading
import time
import unittest
import unittest.mock

import grpc
from fixture import RelayedTest
from harness import SOON, Memod, eventually
from seeds import Dataset, SlowAdder, adder_state

import memo


@contextlib.contextmanager
def no_threads(name, times=None):
    """The next so many of this name, or all, cannot be started. Gives those that were not."""
    start, refused = threading.Thread.start, []

    def refuse(thread):
        if thread.name == name and len(refused) != times:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    with unittest.mock.patch.object(threading.Thread, "start", refuse):
        yield refused


class Intercepting(grpc.UnaryStreamClientInterceptor):
    """Makes of a stream what `intercept` does."""

    def __init__(self, intercept):
        self.intercept = intercept

    def intercept_unary_stream(self, proceed, details, request):
        return self.intercept(proceed(details, request))


def fail(error):
    raise error


class ReconnectTest(RelayedTest):
    def test_a_lost_connections_session_is_resumed_as_it_was(self):
        self.serve("--session.resume_window=1h")
        adder = self.open()
        handle = adder.session.handle
        self.assertEqual(adder.how(1), (1, "miss"))
        for _ in range(3):
            self.relay.cut()
            self.check_told("resumed")
            self.assertEqual(adder.session.handle, handle)
            self.assertFalse(adder.session.closed)
        eventually("calls have a connection", lambda: self.answers(adder))
        self.assertEqual(adder.how(1), (1, "hit"))
        self.assertEqual(adder.session.close().entries, 1)
        self.check_nothing_is_left()

    def test_without_a_resume_window_it_is_opened_anew_with_its_state(self):
        self.serve()
        adder = self.open()
        handle = adder.session.handle
        self.assertEqual(adder.how(1), (1, "miss"))
        self.relay.cut()
        self.check_told("reopened")
        self.assertNotEqual(adder.session.handle, handle)
        self.assertEqual(adder.how(1), (1, "miss"))
        self.assertEqual(adder.how(1), (1, "hit"))

        adder.session.update_state(adder_state(delay=0.2))
        self.relay.cut()
        self.check_told("reopened")
        begin = time.monotonic()
        self.assertEqual(adder.how(1), (1, "miss"))
        self.assertGreater(time.monotonic() - begin, 0.2)

    def test_it_is_opened_anew_with_the_state_that_the_server_took_last(self):
        self.serve()
        dataset = Dataset(
            self.far, "x,y\n0,0\n1,1\n2,2\n", on_reopened=lambda: self.told.put("reopened")
        )

        def replace(thread):
            for i in range(10):
                dataset.replace(f"x,y\n0,0\n1,{10 * thread + i}\n2,1\n")

        for _ in range(10):
            threads = [threading.Thread(target=replace, args=(thread,)) for thread in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            before = dataset.correlate("x", "y")
            self.relay.cut()
            self.check_told("reopened")
            self.assertEqual(dataset.correlate("x", "y"), before)

    def test_a_server_that_comes_back_gets_it_again(self):
        self.serve()
        adder = self.open()
        adder.calculate(1)
        address = self.memod.address
        self.memod.process.kill()
        self.memod.wait()
        self.memod = self.enterContext(Memod(f"--server.listen={address}"))
        self.admin = self.enterContext(self.memod.admin())
        self.check_told("reopened")
        self.assertEqual(adder.how(1), (1, "miss"))

    def test_a_server_that_comes_back_is_found_soon(self):
        told = queue.SimpleQueue()
        adder = SlowAdder(self.channel, on_reopened=lambda: told.put("reopened"))
        self.memod.process.kill()
        self.memod.wait()
        eventually("it is tried", lambda: self.reconnecting() == 1)
        eventually("there is none", lambda: self.is_refused(self.channel))
        self.memod = self.enterContext(Memod(f"--server.listen={self.memod.address}"))
        self.admin = self.enterContext(self.memod.admin())
        begin = time.monotonic()
        self.assertEqual(told.get(timeout=SOON), "reopened")
        self.assertLess(time.monotonic() - begin, 4)  # 5, where gRPC is left alone with it
        self.assertFalse(adder.session.closed)

    def test_what_the_server_has_not_lost_is_resumed_however_long_it_was_away(self):
        self.serve("--session.resume_window=1ms")
        adder = self.open()
        self.assertEqual(adder.how(1), (1, "miss"))
        self.relay.down_for_clients()
        eventually("it is tried", lambda: self.reconnecting() == 1)
        self.relay.up()
        self.check_told("resumed")
        eventually("calls have a connection", lambda: self.answers(adder))
        self.assertEqual(adder.how(1), (1, "hit"))
        self.assertEqual(self.gauges()["sessions"], 1)

    def test_a_resumed_session_is_held_by_heartbeats(self):
        self.serve("--session.resume_window=1h", "--session.heartbeat_timeout=200ms")
        adder = self.open()
        self.relay.cut()
        self.check_told("resumed")
        # For many times the timeout.
        with self.assertRaises(queue.Empty):
            self.told.get(timeout=1)
        self.assertEqual(self.holders(), [1])
        self.assertFalse(adder.session.closed)

    def test_one_that_stays_away_is_lost_in_the_end(self):
        self.serve()
        adder = self.open(reconnect_timeout=0.3)
        self.relay.down()
        self.check_told(grpc.StatusCode.UNAVAILABLE)
        self.assertTrue(adder.session.closed)
        self.assertEqual(adder.session.lost.code, grpc.StatusCode.UNAVAILABLE)

    def test_a_server_that_is_silent_does_not_put_that_off(self):
        for timeout in (30, None):
            with self.subTest(timeout=timeout):
                self.serve()
                adder = self.open(timeout=timeout, reconnect_timeout=0.5)
                self.memod.send(signal.SIGSTOP)
                self.addCleanup(self.memod.send, signal.SIGCONT)
                self.relay.cut()
                begin = time.monotonic()
                self.check_told(grpc.StatusCode.UNAVAILABLE)
                self.assertLess(time.monotonic() - begin, 8)  # 13: until keepalive gives it up
                self.assertTrue(adder.session.closed)

    def test_collected_it_ends_at_once_in_spite_of_a_resume_window(self):
        self.serve("--session.resume_window=1h")
        opened, resumed = self.open(), self.open()
        opened.calculate(1)
        del opened
        eventually("one is left", lambda: self.gauges()["sessions"] == 1)
        self.relay.cut()
        self.check_told("resumed")
        del resumed
        self.check_collected_leaves_nothing()

    def test_collected_while_it_is_away_it_is_not_opened_again(self):
        self.serve()
        adder = self.open()
        self.relay.down()
        eventually("it is away", lambda: self.gauges()["sessions"] == 0)
        eventually("it is tried", lambda: self.reconnecting() == 1)
        del adder
        gc.collect()
        eventually("it is not tried", lambda: self.reconnecting() == 0)
        self.relay.up()
        self.check_nothing_is_left()

    def test_without_a_thread_to_reconnect_it_is_tried_again(self):
        for name in ("memo-reconnect", "memo-reader"):
            with self.subTest(name):
                self.serve()
                adder = self.open()
                with no_threads(name, 3) as refused:
                    self.relay.cut()
                    self.check_told("reopened")
                self.assertEqual(len(refused), 3)
                self.assertEqual(adder.how(1), (1, "miss"))
                adder.session.close()
                self.check_nothing_is_left()

    def test_without_a_thread_it_is_lost_in_the_end(self):
        for name, code in (("memo-reconnect", "RESOURCE_EXHAUSTED"), ("memo-reader", "UNKNOWN")):
            with self.subTest(name):
                self.serve()
                adder = self.open(reconnect_timeout=0.3)
                with no_threads(name):
                    self.relay.cut()
                    self.check_told(grpc.StatusCode[code])
                self.assertIn("can't start new thread", adder.session.lost.details)
                self.check_nothing_is_left()

    def test_an_interceptor_that_fails_is_tried_again(self):
        self.serve()
        intercepting = Intercepting(lambda stream: stream)
        adder = self.open(hold_on=grpc.intercept_channel(self.far, intercepting))
        failures = [ValueError("no token"), KeyError()]
        intercepting.intercept = lambda stream: stream if not failures else fail(failures.pop())
        self.relay.cut()
        self.check_told("reopened")
        self.assertEqual(failures, [])
        self.assertEqual(adder.how(1), (1, "miss"))

    def test_that_it_is_lost_is_told_last(self):
        self.serve()

        def ends_first(stream):
            """Before anybody awaits its end."""
            add_done_callback = stream.add_done_callback

            def late(callback):
                (listed,) = self.admin.call("/memo.v1.AdminService/ListSessions").sessions
                self.close_as_administrator(listed.session_id)
                eventually("it has ended", lambda: not stream.is_active())
                add_done_callback(callback)

            stream.add_done_callback = late
            return stream

        intercepting = Intercepting(lambda stream: stream)
        adder = self.open(hold_on=grpc.intercept_channel(self.far, intercepting))
        intercepting.intercept = ends_first
        self.relay.cut()
        self.check_told("reopened")
        self.check_told(grpc.StatusCode.ABORTED)
        self.assertTrue(adder.session.closed)

    def answers(self, adder):
        try:
            return adder.session.cache_info() is not None
        except grpc.RpcError:
            return False

    @staticmethod
    def is_refused(channel):
        try:
            channel.unary_unary("/no.Service/Method")(b"", timeout=SOON)
        except grpc.RpcError as error:
            return "Connection refused" in error.details()

    def holders(self):
        listed = self.admin.call("/memo.v1.AdminService/ListSessions").sessions
        return [session.holders for session in listed]

    @staticmethod
    def reconnecting():
        return sum(thread.name == "memo-reconnect" for thread in threading.enumerate())


if __name__ == "__main__":
    unittest.main()
