"""Clients whose network goes: each on a host of its own, a network namespace, wired to memod's. The
server hears nothing of it, or half of it, and lets go of their sessions all the same.

Keepalive finds them: 1 s of silence, and 1 s for the answer to a ping.
"""

import contextlib
import os
import subprocess
import sys
import time
import unittest

MEMOD_HOST, CLIENT_HOST = "10.77.0.1", "10.77.0.2"
IN_NAMESPACE = "MEMOD_TEST_IN_NAMESPACE"


def run(*command):
    subprocess.run(command, check=True)


def enter_namespace():
    """This whole program moves to a network of its own; who is not root becomes it there."""
    flags = "-n" if os.geteuid() == 0 else "-Urn"
    os.environ[IN_NAMESPACE] = "1"
    os.execvp("unshare", ["unshare", flags, sys.executable, "-B", *sys.argv])


if __name__ == "__main__" and IN_NAMESPACE not in os.environ:
    enter_namespace()

from harness import CALCULATE, SOON, Client, Memod, adder, eventually, numbers  # noqa: E402


def be_client(address):
    """On the client's host: a session with an entry, and a call that waits for its computation."""
    sys.stdin.readline()  # the wire is there
    client = Client(address)
    session = client.open(adder())
    session.call(CALCULATE, numbers(1, 2))
    slow = client.open(adder(delay=3600))
    waiting = slow.start(CALCULATE, numbers(1, 2), timeout=3600)
    print(session.id, slow.id, flush=True)
    with contextlib.suppress(Exception):
        waiting.result()
    print("told", flush=True)
    sys.stdin.readline()
    os._exit(0)


class LostNetworkTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        run("ip", "link", "set", "lo", "up")

    def setUp(self):
        run("ip", "link", "add", "wire", "type", "veth", "peer", "name", "far")
        self.addCleanup(self.remove_wire)
        run("ip", "address", "add", f"{MEMOD_HOST}/24", "dev", "wire")
        run("ip", "link", "set", "wire", "up")
        self.memod = self.enterContext(
            Memod(
                f"--server.listen={MEMOD_HOST}:0",
                "--server.insecure_allow_remote=true",
                "--server.keepalive_time=1s",
                "--server.keepalive_timeout=1s",
            )
        )
        self.admin = self.enterContext(self.memod.admin())
        self.client = subprocess.Popen(
            ["unshare", "-n", sys.executable, "-B", __file__]
            + ["client", f"{MEMOD_HOST}:{self.memod.log('serving')[0]['port']}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.end_client)
        self.wire_client()
        self.sessions = self.client.stdout.readline().split()
        self.assertEqual(len(self.sessions), 2)
        self.assert_gauges(sessions=2, instances=2, flights=1, entries=1)

    @staticmethod
    def remove_wire():
        """Unless it has gone with the client's host."""
        subprocess.run(["ip", "link", "del", "wire"], stderr=subprocess.DEVNULL, check=False)

    def wire_client(self):
        here = os.readlink("/proc/self/ns/net")
        eventually(
            "the client is on its host",
            lambda: os.readlink(f"/proc/{self.client.pid}/ns/net") != here,
        )
        run("ip", "link", "set", "far", "netns", str(self.client.pid))
        self.on_client("ip", "address", "add", f"{CLIENT_HOST}/24", "dev", "far")
        self.on_client("ip", "link", "set", "far", "up")
        self.client.stdin.write("wired\n")
        self.client.stdin.flush()

    def on_client(self, *command):
        run("nsenter", "-t", str(self.client.pid), "-n", *command)

    def end_client(self):
        self.client.kill()
        self.client.communicate(timeout=SOON)

    def assert_gauges(self, **want):
        def gauges():
            found = self.memod.gauges(self.admin)
            return {name: found[name] for name in ("sessions", "instances", "flights", "entries")}

        eventually(f"{want}", lambda: gauges() == want)

    def assert_released(self, within):
        """Sessions, entries, instances and computations, and how soon. Keepalive takes 2 s; the rest is
        for a machine that has other things to do."""
        begin = time.monotonic()
        for session in self.sessions:
            line = self.memod.wait_for_log("session closed", session=session)
            self.assertEqual(line["reason"], "client gone")
        took = time.monotonic() - begin
        print(f"closed after {took:.2f} s", flush=True)
        self.assertLess(took, within)
        eventually("all is gone", lambda: not any(self.memod.gauges(self.admin).values()))

    def test_link_is_down(self):
        run("ip", "link", "set", "wire", "down")
        self.assert_released(within=4)

    def test_clients_link_is_down(self):
        self.on_client("ip", "link", "set", "far", "down")
        self.assert_released(within=4)

    def test_clients_route_is_a_black_hole(self):
        self.on_client("ip", "route", "add", "blackhole", f"{MEMOD_HOST}/32")
        self.assert_released(within=4)

    def test_memods_route_is_a_black_hole(self):
        run("ip", "route", "add", "blackhole", f"{CLIENT_HOST}/32")
        self.addCleanup(run, "ip", "route", "del", "blackhole", f"{CLIENT_HOST}/32")
        self.assert_released(within=4)

    def test_nothing_comes_from_the_client(self):
        self.on_client("iptables", "-A", "OUTPUT", "-j", "DROP")
        self.assert_released(within=4)

    def test_nothing_comes_to_the_client(self):
        self.on_client("iptables", "-A", "INPUT", "-j", "DROP")
        self.assert_released(within=4)

    def test_connections_are_reset(self):
        """By a firewall on the way, once anything comes from the client."""
        rule = ("INPUT", "-i", "wire", "-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset")
        run("iptables", "-A", *rule)
        self.addCleanup(run, "iptables", "-D", *rule)
        self.assert_released(within=4)
        self.assertEqual(self.client.stdout.readline(), "told\n")

    def test_network_that_comes_back_soon_enough_costs_nothing(self):
        run("ip", "link", "set", "wire", "down")
        run("ip", "link", "set", "wire", "up")
        # Longer than keepalive's patience, had it found the connection dead.
        deadline = time.monotonic() + 3
        eventually("the time is over", lambda: time.monotonic() > deadline)
        self.assert_gauges(sessions=2, instances=2, flights=1, entries=1)
        self.assertEqual(self.memod.log("session closed"), [])


if __name__ == "__main__":
    if sys.argv[1:2] == ["client"]:
        be_client(sys.argv[2])
    unittest.main()
