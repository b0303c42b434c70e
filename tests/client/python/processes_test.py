"""Processes that hold a session, and end or fork."""

import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

from fixture import MemodTest
from harness import Memod

HOLDER = pathlib.Path(__file__).parent / "holder.py"


class ProcessesTest(MemodTest):
    def start(self, how, **environment):
        """The process and the id of its session."""
        process = subprocess.Popen(
            [sys.executable, "-B", HOLDER, self.memod.address, how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process, process.stdout.readline().strip()

    def check_ends_well(self, how, reason="client gone", **environment):
        process, session = self.start(how, **environment)
        self.check_ended_well(process)
        self.memod.wait_for_log("session closed", session=session, reason=reason)
        self.check_nothing_is_left()

    def check_ended_well(self, process):
        _, errors = process.communicate(timeout=60)
        self.assertEqual((process.returncode, errors), (0, ""))

    def test_the_end_of_the_program_ends_it(self):
        self.check_ends_well("end_of_the_program")
        self.check_ends_well("sys_exit")

    def test_kill_ends_it(self):
        process, session = self.start("killed")
        self.assertEqual(self.gauges()["entries"], 1)
        process.kill()
        self.memod.wait_for_log("session closed", session=session, reason="client gone")
        self.check_nothing_is_left()

    def test_a_fork_cannot_end_it(self):
        hows = ("ends", "drops", "releases_what_it_drops", "drops_a_call", "closes", "calls")
        for how in hows:
            for support in "01":
                with self.subTest(how, support=support):
                    self.check_ends_well(f"fork_that_{how}", GRPC_ENABLE_FORK_SUPPORT=support)

    def test_a_fork_can_have_its_own_where_grpc_supports_forks(self):
        self.check_ends_well("fork_with_a_session_of_its_own", GRPC_ENABLE_FORK_SUPPORT="1")

    def serve(self, *flags):
        self.memod = self.enterContext(Memod(*flags))
        self.admin = self.enterContext(self.memod.admin())

    def test_the_end_of_the_program_ends_it_in_spite_of_a_resume_window(self):
        self.serve("--session.resume_window=1h")
        for how in ("end_of_the_program", "sys_exit", "drops_and_ends"):
            with self.subTest(how):
                self.check_ends_well(how, "closed by client")
        for support in "01":
            for how in ("fork_that_ends", "fork_that_drops"):
                with self.subTest(how, support=support):
                    self.check_ends_well(how, "closed by client", GRPC_ENABLE_FORK_SUPPORT=support)

    def test_the_end_of_the_program_does_not_wait_for_a_server_that_is_silent(self):
        self.serve("--session.resume_window=1h")
        process, _ = self.start("ends_when_told")
        self.memod.send(signal.SIGSTOP)
        self.addCleanup(self.memod.send, signal.SIGCONT)
        begin = time.monotonic()
        self.check_ended_well(process)
        self.assertLess(time.monotonic() - begin, 8)  # 13: until gRPC's keepalive gives up

    def test_the_end_of_the_program_after_that_of_the_channel(self):
        self.serve("--session.resume_window=1ms")
        self.check_ends_well("closes_the_channel_and_ends", "client gone")


if __name__ == "__main__":
    unittest.main()
