"""Clients that fall silent, as one does whose machine or network is gone: nothing tells the server,
it has to ask."""

import multiprocessing
import os
import signal
import time
import unittest

from harness import CALCULATE, Client, Memod, adder, eventually, numbers

# Pings as often as gRPC lets a client ping, whether it has calls or not.
EAGER_PINGS = (
    ("grpc.keepalive_time_ms", 1000),
    ("grpc.keepalive_timeout_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)


def hold_session(address, told):
    session = Client(address).open(adder())
    session.call(CALCULATE, numbers(1, 2))
    told.send(session.id)
    told.recv()


class SilentClientTest(unittest.TestCase):
    def seconds_until_closed(self, memod):
        """Stops a client with a session: its kernel answers on, the client itself does not."""
        processes = multiprocessing.get_context("forkserver")
        processes.set_forkserver_preload(["harness"])
        told, theirs = processes.Pipe()
        client = processes.Process(target=hold_session, args=(memod.address, theirs))
        client.start()
        self.addCleanup(client.join)
        self.addCleanup(client.kill)
        session = told.recv()
        os.kill(client.pid, signal.SIGSTOP)
        begin = time.monotonic()
        line = memod.wait_for_log("session closed", session=session)
        took = time.monotonic() - begin
        self.assertEqual((line["reason"], line["entries"]), ("client gone", 1))
        with memod.admin() as admin:
            eventually("its entry is released", lambda: memod.gauges(admin)["entries"] == 0)
        print(f"closed after {took:.2f} s of silence", flush=True)
        return took

    def test_silent_client_is_closed_in_15_s_and_a_quiet_one_that_pings_is_not(self):
        memod = self.enterContext(Memod())
        quiet = self.enterContext(memod.client(EAGER_PINGS)).open(adder())
        idle = self.enterContext(memod.client()).open(adder())  # answers pings, sends none
        self.assertLess(self.seconds_until_closed(memod), 15)
        # More than ten pings later: had they been too many, the connection would be gone, and every
        # stream on it.
        for session in (quiet, idle):
            self.assertTrue(session.stream.is_active())
            self.assertEqual(session.call(CALCULATE, numbers(1, 2)).sum, 3)
        self.assertEqual(len(memod.log("session closed")), 1)

    def test_keepalive_settings_decide_how_soon(self):
        memod = self.enterContext(
            Memod("--server.keepalive_time=1s", "--server.keepalive_timeout=1s")
        )
        self.assertLess(self.seconds_until_closed(memod), 2.5)
        with memod.admin() as admin:
            eventually("all is gone", lambda: not any(memod.gauges(admin).values()))

    def test_connection_without_a_call_is_no_silent_client(self):
        """gRPC's Python answers no ping while it has no call."""
        memod = self.enterContext(
            Memod("--server.keepalive_time=1s", "--server.keepalive_timeout=1s")
        )
        admin = self.enterContext(memod.admin())
        clients = [self.enterContext(memod.client(pings)) for pings in ((), EAGER_PINGS)]
        session = self.enterContext(memod.client()).open(adder())
        handle = [("memo-session", session.handle)]
        for seconds in (0, 2.5, 3.5):
            deadline = time.monotonic() + seconds
            eventually("the time is over", lambda: time.monotonic() > deadline)
            for client in clients:
                self.assertEqual(client.start(CALCULATE, numbers(1), handle).result().sum, 1)
            memod.gauges(admin)


if __name__ == "__main__":
    unittest.main()
