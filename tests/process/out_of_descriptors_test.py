"""A server that has run out of file descriptors, where gRPC never accepts again: it makes way for one
that does, and whoever has a connection loses no call."""

import os
import resource
import socket
import unittest

from harness import CALCULATE, Memod, adder, numbers


class OutOfDescriptorsTest(unittest.TestCase):
    def test_it_drains_and_ends_as_a_failure(self):
        memod = self.enterContext(Memod())
        client = self.enterContext(memod.client())
        session = client.open(adder())
        self.assertEqual(session.call(CALCULATE, numbers(1, 2)).sum, 3)
        used = len(os.listdir(f"/proc/{memod.process.pid}/fd"))
        resource.prlimit(memod.process.pid, resource.RLIMIT_NOFILE, (used + 5, used + 5))
        host, port = memod.address.split(":")
        for _ in range(10):
            self.enterContext(socket.create_connection((host, int(port))))
        memod.wait_for_log("stopping, since a port takes no connections any more (see ulimit -n)")
        self.assertEqual(session.call(CALCULATE, numbers(1, 2)).sum, 3)
        self.assertEqual(session.cached(CALCULATE, numbers(1, 2)), "hit")
        session.close()
        self.assertEqual(memod.wait(), 1)


if __name__ == "__main__":
    unittest.main()
