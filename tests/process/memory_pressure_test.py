"""A memod that runs short of memory, and has it back when sessions close, without a restart."""

import pathlib
import re
import resource
import subprocess
import unittest

import grpc

from harness import DESCRIBE, MEMOCTL, SOON, Memod, dataset, eventually, metadata_of
from memo.examples.v1 import dataset_pb2

LIMIT = 400 << 20
# About 1 MB, of which an instance makes 3.
CSV = "a,b,c,d\n" + "1,2,3,4\n" * 100_000


class MemoryPressureTest(unittest.TestCase):
    def setUp(self):
        self.memod = self.enterContext(Memod(f"--server.max_memory={LIMIT}"))
        self.client = self.enterContext(
            self.memod.client([("grpc.max_send_message_length", -1)])
        )

    def metric(self, name):
        text = self.memod.get("/metrics")[1]
        return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])

    def resident(self):
        pages = pathlib.Path(f"/proc/{self.memod.process.pid}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()

    def fill(self):
        """Opens sessions until one is refused; those, and the refusal. Where one should be, it
        waits until memod has seen it, so as not to get further than that."""
        sessions = []
        while True:
            eventually(
                "no new sessions",
                lambda: self.resident() < LIMIT * 0.86
                or self.metric("memod_memory_pressure") == 2,
            )
            try:
                sessions.append(self.client.open(dataset(CSV)))
            except grpc.RpcError as error:
                return sessions, error

    def test_refuses_new_sessions_and_takes_them_again_once_others_have_closed(self):
        self.assertEqual(self.metric("memod_memory_limit_bytes"), LIMIT)
        eventually("it has looked", lambda: self.metric("memod_memory_used_bytes") > 0)
        self.assertEqual(self.metric("memod_memory_pressure"), 0)
        for round in range(2):
            sessions, refusal = self.fill()
            print(f"round {round}: {len(sessions)} sessions, then: {refusal.details()}", flush=True)
            self.assertEqual(refusal.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
            self.assertEqual(metadata_of(refusal)["memo-error"], "LIMIT")
            still, used, limit, percent = re.fullmatch(
                r"no new sessions(, still)?: (\d+) bytes of memory are in use, limit (\d+), (8[05]) % of "
                rf"{LIMIT} \(server\.max_memory\)",
                refusal.details(),
            ).groups()
            self.assertGreaterEqual(int(used), int(limit))
            self.assertEqual(int(limit), LIMIT // 100 * int(percent))
            self.assertEqual(int(percent), 80 if still else 85)
            self.assertGreaterEqual(len(sessions), 10)
            self.memod.wait_for_log("memory pressure", now="no new sessions")

            # Sessions that are open are served, and probes are told to leave it where it is.
            described = sessions[0].call(DESCRIBE, dataset_pb2.DescribeRequest(column="a"))
            self.assertEqual(described.count, 100_000)
            self.assertRegex(
                self.memod.get("/readyz")[1], r"^ok\nmemory: no new sessions, \d+ of \d+ bytes"
            )
            self.assertEqual(self.memod.get("/readyz")[0], 200)
            self.assertEqual(self.metric("memod_memory_pressure"), 2)
            self.assertIn("400.0 MiB, pressure: no new sessions", self.info())
            with self.assertRaises(grpc.RpcError):
                self.client.open()

            for session in sessions:
                session.close()
            took = eventually("memory is back", lambda: self.metric("memod_memory_pressure") == 0)
            print(f"round {round}: back after {took:.2f} s", flush=True)
            self.client.open().close()
            self.assertEqual(self.memod.get("/readyz"), (200, "ok\n"))
            self.assertIn("pressure: none", self.info())
        self.assertEqual(self.memod.log("memory pressure")[-1]["now"], "none")

    def info(self):
        command = [MEMOCTL, "--admin", self.memod.admin_address, "info"]
        return subprocess.run(command, capture_output=True, text=True, timeout=SOON).stdout


if __name__ == "__main__":
    unittest.main()
