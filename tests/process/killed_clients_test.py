"""Clients that crash take everything with them, however many they are, whatever they wait for."""

import multiprocessing
import os
import signal
import time
import unittest

from harness import CALCULATE, FIBONACCI, Client, Memod, adder, eventually, fibonacci, numbers

CLIENTS = 50
SESSIONS_EACH = 20
ENTRIES_EACH = 11  # Fibonacci(10) remembers 0 to 10
CALLS_EACH = 3  # in flight when killed; more than the server has threads, so that most are queued
RELEASED_WITHIN = 2  # seconds


def hold_sessions(address, told):
    """A client: opens its sessions and fills them; when told to, makes calls that never end."""
    client = Client(address)
    sessions = [client.open(adder(delay=3600)) for _ in range(SESSIONS_EACH)]
    for session in sessions:
        session.call(FIBONACCI, fibonacci(ENTRIES_EACH - 1))
    told.send("filled")
    told.recv()
    busy = sessions[:CALLS_EACH]
    calls = [session.start(CALCULATE, numbers(1), timeout=None) for session in busy]
    for call in calls:
        call.result()


class KilledClientsTest(unittest.TestCase):
    def start(self, processes, address):
        told, theirs = processes.Pipe()
        client = processes.Process(target=hold_sessions, args=(address, theirs))
        client.start()
        self.addCleanup(client.join)
        self.addCleanup(client.kill)
        return client, told

    def test_fifty_killed_clients_leave_nothing(self):
        # Each is a process of its own, forked from one that has no gRPC running.
        processes = multiprocessing.get_context("forkserver")
        processes.set_forkserver_preload(["harness"])
        memod = self.enterContext(Memod("--compute.threads=4"))
        admin = self.enterContext(memod.admin())
        clients = [self.start(processes, memod.address) for _ in range(CLIENTS)]
        for _, told in clients:
            self.assertEqual(told.recv(), "filled")
        for _, told in clients:
            told.send("call")
        eventually(
            "all calls are in flight",
            lambda: memod.gauges(admin)["flights"] == CLIENTS * CALLS_EACH,
        )
        before = memod.gauges(admin)
        sessions = CLIENTS * SESSIONS_EACH
        self.assertEqual(before["sessions"], sessions)
        self.assertEqual(before["instances"], sessions)
        self.assertEqual(before["entries"], sessions * ENTRIES_EACH)
        self.assertGreater(before["bytes"], 0)

        begin = time.monotonic()
        for client, _ in clients:
            os.kill(client.pid, signal.SIGKILL)
        eventually("everything is released", lambda: not any(memod.gauges(admin).values()))
        took = time.monotonic() - begin
        print(f"{before} -> all 0 in {took:.3f} s", flush=True)
        self.assertLess(took, RELEASED_WITHIN)

        # And the server tells of each, and serves on.
        eventually("each is logged", lambda: len(memod.log("session closed")) == sessions)
        for line in memod.log("session closed"):
            self.assertEqual((line["reason"], line["entries"]), ("client gone", ENTRIES_EACH))
        with memod.client() as client:
            self.assertEqual(client.open(adder()).call(CALCULATE, numbers(1, 2)).sum, 3)


if __name__ == "__main__":
    unittest.main()
