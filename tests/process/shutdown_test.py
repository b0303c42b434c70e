"""Stopping a server, and starting one where another listens."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import grpc

from harness import CALCULATE, ENVIRONMENT, MEMOD, SOON, Memod
from harness import adder, eventually, metadata_of, numbers

LONG = 3600  # seconds that no test waits for


class ShutdownTest(unittest.TestCase):
    def start(self, *flags):
        memod = self.enterContext(Memod(*flags))
        return memod, self.enterContext(memod.client())

    def in_flight(self, memod, session):
        """A Calculate that the server is computing."""
        call = session.start(CALCULATE, numbers(1, 2), timeout=None)
        with memod.admin() as admin:
            eventually("the call runs", lambda: memod.gauges(admin)["flights"] == 1)
        return call

    def drains_gracefully(self, number):
        memod, client = self.start()
        session = client.open(adder(delay=3))
        call = self.in_flight(memod, session)
        memod.send(number)
        memod.wait_for_log("draining")

        # While the call still runs:
        self.assertEqual(next(session.stream).WhichOneof("event"), "draining")
        self.assertEqual(memod.get("/readyz"), (503, "not ready\n"))
        self.assertEqual(memod.get("/livez")[0], 200)
        self.assertEqual(client.health(), "NOT_SERVING")
        self.assertEqual(client.health("memo.examples.v1.SlowAdder"), "NOT_SERVING")
        with self.assertRaises(grpc.RpcError) as refused:
            client.open(adder())
        self.assertEqual(refused.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(metadata_of(refused.exception)["memo-error"], "DRAINING")
        self.assertFalse(call.done())

        # It ends as if nothing had happened, then the session does, then the server.
        self.assertEqual(call.result().sum, 3)
        with self.assertRaises(grpc.RpcError) as ended:
            next(session.stream)
        self.assertEqual(ended.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(metadata_of(ended.exception)["memo-error"], "DRAINING")
        self.assertEqual(memod.wait(), 0)
        self.assertEqual(memod.log("session closed")[0]["reason"], "server stopping")
        self.assertEqual(memod.log("stopping")[0]["signal"], number.name)
        self.assertEqual(len(memod.log("stopped")), 1)

    def test_sigterm_lets_running_calls_end_and_turns_away_new_sessions(self):
        self.drains_gracefully(signal.SIGTERM)

    def test_sigint_does_the_same(self):
        self.drains_gracefully(signal.SIGINT)

    # A server that waited for a second without calls would wait as long as these come, which is not
    # measured in seconds: so it is not, whatever else the machine does.
    def test_server_without_sessions_stops_at_once(self):
        def call_without_a_pause():
            while client.start(CALCULATE).code() == grpc.StatusCode.FAILED_PRECONDITION:
                called.set()

        called = threading.Event()
        caller = threading.Thread(target=call_without_a_pause)
        self.addCleanup(caller.join)  # when there is no server any more
        memod, client = self.start(f"--server.drain_timeout={LONG}s")
        caller.start()
        self.assertTrue(called.wait(SOON))
        memod.send()
        self.assertEqual(memod.wait(SOON), 0)

    def test_server_with_open_sessions_stops_when_no_call_came_for_a_second(self):
        memod, client = self.start()
        session = client.open(adder())
        memod.send(signal.SIGTERM)
        memod.wait_for_log("draining")
        begin = last = time.monotonic()
        while last - begin < 2:  # the calls of a client that has nowhere to go yet
            self.assertEqual(session.call(CALCULATE, numbers(1, 2)).sum, 3)
            last = time.monotonic()
        self.assertEqual(memod.wait(), 0)
        self.assertLess(time.monotonic() - last, 3)
        self.assertEqual(next(session.stream).WhichOneof("event"), "draining")
        self.assertRaises(grpc.RpcError, next, session.stream)

    # gRPC has no word for a call that comes when it shuts down; by then nobody is to call any more.
    def test_who_calls_all_the_time_is_told_that_the_session_is_closed(self):
        memod, client = self.start("--server.drain_timeout=0s")
        session = client.open(adder())
        self.assertEqual(session.call(CALCULATE, numbers(1, 2)).sum, 3)
        memod.send(signal.SIGTERM)
        with self.assertRaises(grpc.RpcError) as ended:
            while True:
                session.call(CALCULATE, numbers(1, 2))
        self.assertEqual(ended.exception.code(), grpc.StatusCode.NOT_FOUND)
        self.assertEqual(metadata_of(ended.exception)["memo-error"], "SESSION_NOT_FOUND")
        self.assertEqual(memod.wait(), 0)

    def test_a_later_interrupt_ends_it_at_once(self):
        for first in (signal.SIGTERM, signal.SIGINT):
            memod, client = self.start(f"--server.drain_timeout={LONG}s")
            session = client.open(adder(delay=LONG))
            call = self.in_flight(memod, session)
            memod.send(first)
            memod.wait_for_log("draining")
            later = time.monotonic() + 1.1
            eventually("it is no repetition any more", lambda: time.monotonic() > later)
            memod.send(signal.SIGTERM)  # as scripts do until it is gone
            for _ in range(1000):
                session.call("/memo.v1.SessionService/GetCacheInfo")
            self.assertFalse(call.done())
            memod.send(signal.SIGINT)
            self.assertEqual(memod.wait(), 1)
            self.assertEqual(len(memod.log("interrupted, leaving at once")), 1)
            self.assertEqual(memod.log("stopped"), [])
            self.assertEqual(call.exception().code(), grpc.StatusCode.UNAVAILABLE)

    def test_an_interrupt_that_comes_twice_is_one(self):
        memod, client = self.start()
        session = client.open(adder(delay=0.5))
        call = self.in_flight(memod, session)
        for _ in range(3):
            memod.send(signal.SIGINT)
        self.assertEqual(call.result().sum, 3)
        self.assertEqual(memod.wait(), 0)

    def test_call_longer_than_drain_timeout_is_cut_off(self):
        memod, client = self.start("--server.drain_timeout=1s")
        session = client.open(adder(delay=LONG))
        call = self.in_flight(memod, session)
        begin = time.monotonic()
        memod.send(signal.SIGTERM)
        error = call.exception()
        self.assertEqual(memod.wait(), 0)
        took = time.monotonic() - begin
        print(f"left after {took:.2f} s: {error.code().name}, {error.details()}", flush=True)
        self.assertEqual(error.code(), grpc.StatusCode.ABORTED)
        self.assertEqual(metadata_of(error)["memo-error"], "SESSION_CLOSED")
        self.assertGreaterEqual(took, 1)
        self.assertLess(took, 2.5)

    def test_drain_timeout_of_zero_waits_for_nobody(self):
        memod, client = self.start("--server.drain_timeout=0s")
        session = client.open(adder(delay=LONG))
        self.in_flight(memod, session)
        begin = time.monotonic()
        self.assertEqual(memod.stop(), 0)
        self.assertLess(time.monotonic() - begin, 1.5)

    def test_watchdog_ends_the_process_whatever_holds_the_stop_up(self):
        memod, _ = self.start("--server.drain_timeout=0s")
        host, port = memod.http_address.split(":")
        files = pathlib.Path(f"/proc/{memod.process.pid}/fd")
        before = len(list(files.iterdir()))
        with socket.create_connection((host, int(port))) as half_a_request:
            half_a_request.sendall(b"GET /livez HTTP/1.1\r\n")
            eventually("it is accepted", lambda: len(list(files.iterdir())) > before)
            begin = time.monotonic()
            self.assertEqual(memod.stop(), 0)
            took = time.monotonic() - begin
        print(f"left after {took:.2f} s", flush=True)
        memod.wait_for_log("not stopped in time, leaving without what still runs")
        self.assertLess(took, 2.5)

    def test_watchdog_ends_the_process_also_if_nobody_reads_its_log(self):
        log, end = os.pipe()
        self.addCleanup(os.close, log)
        listeners = [f"--{key}=127.0.0.1:0" for key in Memod.LISTENERS]
        memod = subprocess.Popen(
            [MEMOD, "--server.drain_timeout=0s", *listeners], stderr=end, env=ENVIRONMENT
        )
        self.addCleanup(memod.kill)
        while b" serving " not in (line := os.read(log, 4096)):
            pass
        http = int(re.search(rb"http_port=(\d+)", line)[1])
        with open(end, "wb", buffering=0) as full:
            os.set_blocking(end, False)
            for size in (512, 1):
                while full.write(b"\n" * size):
                    pass
            os.set_blocking(end, True)  # for memod, too: it is the same end
        with socket.create_connection(("127.0.0.1", http)) as half_a_request:
            half_a_request.sendall(b"GET /livez HTTP/1.1\r\n")  # which holds the stop up
            begin = time.monotonic()
            memod.terminate()
            self.assertEqual(memod.wait(SOON), 0)
            self.assertLess(time.monotonic() - begin, 4)


class ListenersTest(unittest.TestCase):
    def test_taken_port_is_exit_code_1_and_named(self):
        memod = self.enterContext(Memod())
        for key, address in (
            ("server.listen", memod.address),
            ("admin.listen", memod.admin_address),
            ("admin.http", memod.http_address),
        ):
            second = self.enterContext(Memod(f"--{key}={address}", serving=False))
            self.assertEqual(second.wait(), 1, second.stderr())
            self.assertIn(f"memod: {key}: cannot listen on {address}", second.stderr())
            self.assertIn("Address already in use", second.stderr())
            self.assertEqual(second.log("serving"), [])
        with memod.client() as client:
            self.assertEqual(client.open(adder()).call(CALCULATE, numbers(1, 2)).sum, 3)

    def test_unix_socket_serves_and_is_taken_by_one_server_only(self):
        with tempfile.TemporaryDirectory() as directory:
            address = f"unix:{pathlib.Path(directory, 'memod.sock')}"
            memod = self.enterContext(Memod(f"--server.listen={address}"))
            client = self.enterContext(memod.client())
            session = client.open(adder())
            self.assertEqual(session.call(CALCULATE, numbers(1, 2)).sum, 3)
            second = self.enterContext(Memod(f"--server.listen={address}", serving=False))
            self.assertEqual(second.wait(), 1, second.stderr())
            self.assertIn(address, second.stderr())
            self.assertEqual(session.cached(CALCULATE, numbers(1, 2)), "hit")
            # What a server that was killed left behind is in nobody's way.
            memod.process.kill()
            memod.wait()
            third = self.enterContext(Memod(f"--server.listen={address}"))
            self.assertEqual(third.stop(), 0)


if __name__ == "__main__":
    unittest.main()
