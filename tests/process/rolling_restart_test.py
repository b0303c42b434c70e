"""Two servers that are restarted in turn, again and again, under the load of a C++ client that may
use both: no call fails.

MEMOD_RESTARTS=100 restarts that often; the long run.
"""

import os
import time
import unittest

from harness import Load, Memod, eventually

RESTARTS = int(os.environ.get("MEMOD_RESTARTS", "6"))
SESSIONS = 4


class RollingRestartTest(unittest.TestCase):
    def start(self, *flags):
        memod = Memod(*flags)
        self.addCleanup(lambda: memod.__exit__())
        return memod

    def sessions_of(self, memod):
        with memod.admin() as admin:
            return memod.gauges(admin)["sessions"]

    def test_no_call_fails(self):
        servers = [self.start(), self.start()]
        addresses = [memod.address for memod in servers]
        with Load(SESSIONS, addresses) as load:
            eventually("all are open", lambda: sum(map(self.sessions_of, servers)) == SESSIONS)
            begin = time.monotonic()
            for n in range(RESTARTS):
                which = n % 2
                calls = load.so_far()["calls"]
                self.assertEqual(servers[which].stop(), 0)
                servers[which] = self.start(f"--server.listen={addresses[which]}")
                # The load is there, and none of it where it was.
                eventually("calls go on", lambda: load.so_far()["calls"] > calls + 100)
                self.assertEqual(self.sessions_of(servers[1 - which]), SESSIONS)
            result = load.so_far()
        print(f"{RESTARTS} restarts in {time.monotonic() - begin:.0f} s: {result}", flush=True)
        self.assertEqual(load.process.returncode, 0)
        self.assertEqual(result["failed"], 0, load.errors)
        self.assertEqual(result["wrong"], 0)
        self.assertEqual(result["losses"], 0)
        self.assertGreaterEqual(result["moves"], RESTARTS * SESSIONS - SESSIONS)


if __name__ == "__main__":
    unittest.main()
