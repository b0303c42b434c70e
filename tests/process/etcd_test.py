"""etcd and etcdctl, a service and a client that nobody here wrote, with memod between them: what
etcdctl does works, and of all its methods KV/Range is memoized, by configuration alone."""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from harness import SOON, SOURCE_DIR, Memod, eventually

RANGE = "/etcdserverpb.KV/Range"
CONFIG = """
[[upstream]]
name = "etcd"
target = "unix:{socket}"
  [[upstream.method]]
  name = "{method}"
  scope = "server"
  public = true
  ttl = "{ttl}"
"""


class Etcd:
    """An etcd of its own, on sockets in a folder of its own."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory()
        # Of unix://a:1 it makes the socket a:1 in the folder where it runs.
        client, peer = "unix://client:1", "unix://peer:1"
        flags = {
            "data-dir": "data",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "unsafe-no-fsync": "true",
        }
        self.log = open(os.path.join(self._folder.name, "log"), "w+")
        self.socket = os.path.join(self._folder.name, "client:1")
        self.process = subprocess.Popen(
            [program("etcd"), *(f"--{name}={value}" for name, value in flags.items())],
            cwd=self._folder.name,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self):
        eventually("etcd serves", self._healthy)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()
        self._folder.cleanup()

    def _get(self, path):
        connection = http.client.HTTPConnection("localhost", timeout=SOON)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(self.socket)
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def _healthy(self):
        try:
            return '"true"' in self._get("/health")
        except OSError:
            return False

    def watchers(self):
        found = re.search(r"^etcd_debugging_mvcc_watcher_total (\d+)$", self._get("/metrics"), re.M)
        return int(found[1])


def program(name):
    installed = SOURCE_DIR / "build/tools" / name  # by tests/install-tools
    path = installed if os.access(installed, os.X_OK) else shutil.which(name)
    assert path, f"{name} is not installed; tests/install-tools does that"
    return str(path)


class EtcdTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.etcd = cls.enterClassContext(Etcd())

    def serve(self, ttl="1h"):
        config = CONFIG.format(socket=self.etcd.socket, method=RANGE, ttl=ttl)
        self.memod = self.enterContext(Memod(config=config))

    def start(self, *arguments):
        process = subprocess.Popen(
            [program("etcdctl"), f"--endpoints={self.memod.address}", *arguments],
            env={**os.environ, "ETCDCTL_API": "3"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        for pipe in (process.stdin, process.stdout, process.stderr):
            self.addCleanup(pipe.close)
        return process

    def etcdctl(self, *arguments, stdin=""):
        process = self.start(*arguments)
        out, err = process.communicate(stdin, timeout=SOON)
        self.assertEqual(process.returncode, 0, err)
        return out.split()

    def counter(self, name):
        """Of KV/Range."""
        code, text = self.memod.get("/metrics")
        self.assertEqual(code, 200)
        found = re.search(rf'^{name}{{method="{RANGE}"}} (\d+)$', text, re.M)
        return int(found[1]) if found else 0

    def counters(self):
        """Hits and misses."""
        return tuple(self.counter(f"memod_cache_{name}_total") for name in ("hits", "misses"))

    def test_a_repeated_get_is_a_hit(self):
        self.serve()
        self.assertEqual(self.etcdctl("put", "a", "1"), ["OK"])
        self.assertEqual(self.etcdctl("get", "a"), ["a", "1"])
        self.assertEqual(self.counters(), (0, 1))
        self.assertEqual(self.etcdctl("get", "a"), ["a", "1"])
        self.assertEqual(self.counters(), (1, 1))
        # As long as the ttl says, whatever is put: that is what the operator has asked for.
        self.etcdctl("put", "a", "2")
        self.assertEqual(self.etcdctl("get", "a"), ["a", "1"])
        self.assertEqual(self.counters(), (2, 1))
        self.assertEqual(self.etcdctl("get", "b"), [])
        self.assertEqual(self.counters(), (2, 2))

    def test_a_get_is_new_once_its_ttl_is_over(self):
        self.serve(ttl="200ms")
        for value in ("old", "new"):
            self.etcdctl("put", "t", value)
            eventually(value, lambda: self.etcdctl("get", "t") == ["t", value])
        self.assertGreaterEqual(self.counter("memod_cache_expirations_total"), 1)

    def test_txn(self):
        self.serve()
        self.etcdctl("put", "x", "1")
        # Conditions, what is done if they hold, and if not, each up to an empty line.
        transaction = 'value("x") = "1"\n\nput y then\n\nput y else\n\n'
        self.assertEqual(self.etcdctl("txn", stdin=transaction), ["SUCCESS", "OK"])
        self.assertEqual(self.etcdctl("get", "y"), ["y", "then"])

    def test_member_list(self):
        self.serve()
        members = self.etcdctl("member", "list")
        self.assertIn("started,", members)
        self.assertIn("default,", members)

    def test_error_is_etcds_own(self):
        self.serve()
        process = self.start("lease", "revoke", "1234")
        _, err = process.communicate(timeout=SOON)
        self.assertNotEqual(process.returncode, 0)
        self.assertIn("etcdserver: requested lease not found", err)

    def test_watch_is_told_each_change_and_gone_with_its_client(self):
        self.serve()
        watch = self.start("watch", "w")
        eventually("watched", lambda: self.etcd.watchers() == 1)
        for value in ("1", "2", "3"):
            self.etcdctl("put", "w", value)
            told = [watch.stdout.readline().strip() for _ in range(3)]
            self.assertEqual(told, ["PUT", "w", value])
        watch.send_signal(signal.SIGKILL)
        eventually("no watcher is left", lambda: self.etcd.watchers() == 0)

    def test_lease_lives_as_long_as_it_is_kept_alive(self):
        self.serve(ttl="1ms")
        lease = self.etcdctl("lease", "grant", "2")[1]
        self.etcdctl("put", "leased", "1", f"--lease={lease}")
        keeper = self.start("lease", "keep-alive", lease)
        for _ in range(3):  # each a third of the lease's time after the other
            self.assertIn(f"lease {lease} keepalived with TTL(2)", keeper.stdout.readline())
        self.assertEqual(self.etcdctl("get", "leased"), ["leased", "1"])
        keeper.kill()
        eventually("it ends", lambda: self.etcdctl("get", "leased") == [])


if __name__ == "__main__":
    unittest.main()
