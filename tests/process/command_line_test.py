"""memod as its operator meets it: flags, environment, configuration, exit codes, and its log."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

import grpc

from harness import CALCULATE, ENVIRONMENT, MEMOD, SOON, SOURCE_DIR, Client, Memod, adder
from harness import eventually, metadata_of, numbers
from memo.v1 import admin_pb2

WRONG = f"""\
[server]
listn = "127.0.0.1:7070"
[cache]
max_bytes = "1 gib"
[[method]]
name = "{CALCULATE}"
max_entries = "many"
"""


class CommandLineTest(unittest.TestCase):
    def memod(self, *arguments, **environment):
        """Runs a memod that is not to serve."""
        return subprocess.run(
            [MEMOD, *arguments],
            env={**ENVIRONMENT, **environment},
            capture_output=True,
            text=True,
            timeout=SOON,
        )

    def file(self, text):
        directory = self.enterContext(tempfile.TemporaryDirectory())
        path = pathlib.Path(directory, "memod.toml")
        path.write_text(text)
        return str(path)

    def refused(self, run, *said):
        self.assertEqual(run.returncode, 2, run.stderr)
        self.assertEqual(run.stdout, "")
        for words in said:
            self.assertIn(words, run.stderr)

    def test_check_config_accepts_the_manual(self):
        run = self.memod("--check-config", str(SOURCE_DIR / "deploy/memod.toml"))
        self.assertEqual((run.returncode, run.stderr), (0, ""))

    def test_check_config_names_file_line_key_and_what_is_allowed_for_each_error(self):
        path = self.file(WRONG)
        self.refused(
            self.memod("--check-config", path),
            f"{path}:2: unknown key server.listn; did you mean server.listen?",
            f'{path}:4: cache.max_bytes: got "1 gib"; want a size such as 64MiB or 1GiB',
            f'{path}:7: method.max_entries: got "many"; want an integer, or "unbounded"',
        )

    def test_check_config_knows_which_methods_are_hosted(self):
        path = self.file('[[method]]\nname = "/a.B/C"\n\n[[method]]\nname = "/a.B/D"\n')
        for run in (self.memod("--check-config", path), self.memod("--config", path)):
            self.refused(run, f"{path}:1: no hosted method is called /a.B/C")
            self.assertIn(f"{path}:4: no hosted method is called /a.B/D", run.stderr)

    def test_wrong_configuration_stops_the_start(self):
        path = self.file(WRONG)
        self.refused(self.memod("--config", path), f"{path}:4: cache.max_bytes")
        self.refused(self.memod(MEMOD_CONFIG=path), f"{path}:4: cache.max_bytes")
        self.refused(self.memod("--config", "/nowhere/memod.toml"), "/nowhere/memod.toml")
        self.refused(self.memod("--session.max=0"), "--session.max", '"0"', "from 1 to")
        self.refused(self.memod(MEMOD_SESSION_MAX="0"), "MEMOD_SESSION_MAX", '"0"', "from 1 to")
        self.refused(self.memod(MEMOD_SESSION_MX="5"), "MEMOD_SESSION_MX", "MEMOD_SESSION_MAX?")

    def test_wrong_usage(self):
        for arguments in (["--frobnicate"], ["frobnicate"], ["--config"]):
            self.refused(self.memod(*arguments), arguments[0])

    def test_help_and_version(self):
        run = self.memod("--help")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertIn("Examples:\n  memod ", run.stdout)
        for key in ("--server.listen", "--cache.max_bytes", "--config", "healthcheck"):
            self.assertIn(key, run.stdout)
        version = self.memod("--version")
        self.assertEqual(version.returncode, 0)
        self.assertRegex(version.stdout, r"^memod \d+\.\d+\.\d+\n$")

    def test_flags_go_over_environment_and_that_over_the_file(self):
        flag, variable = "--session.max=1", {"MEMOD_SESSION_MAX": "2"}
        file = "[session]\nmax = 3"
        for most, flags, environment in ((3, [], {}), (2, [], variable), (1, [flag], variable)):
            with Memod(*flags, config=file, env=environment) as memod, memod.client() as client:
                sessions = [client.open() for _ in range(most)]
                with self.assertRaises(grpc.RpcError) as refused:
                    client.open()
                self.assertEqual(refused.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
                self.assertIn(f"{most} (session.max)", refused.exception.details())
                self.assertEqual(metadata_of(refused.exception)["memo-error"], "LIMIT")
                self.assertEqual(len({session.handle for session in sessions}), most)

    def test_plaintext_beyond_loopback_is_refused_with_the_remedy(self):
        for key in ("server.listen", "admin.listen", "admin.http"):
            remedy = f"{key.partition('.')[0]}.insecure_allow_remote"
            self.refused(self.memod(f"--{key}=0.0.0.0:0"), f"--{key}", "0.0.0.0:0", remedy)

    def test_insecure_allow_remote_listens_everywhere(self):
        everywhere = ("--server.listen=0.0.0.0:0", "--server.insecure_allow_remote=true")
        memod = self.enterContext(Memod(*everywhere))
        # An address of this machine that a listener on 127.0.0.1 would not answer.
        other = memod.address.replace("127.0.0.1", "127.0.0.2")
        with Client(other) as client:
            self.assertEqual(client.open(adder()).call(CALCULATE, numbers(1, 2)).sum, 3)

    def test_healthcheck_tells_whether_the_server_serves(self):
        directory = self.enterContext(tempfile.TemporaryDirectory())
        for listen in ("127.0.0.1:0", f"unix:{directory}/memod.sock"):
            memod = self.enterContext(Memod(f"--server.listen={listen}"))
            client = self.enterContext(memod.client())
            ask = ["healthcheck", f"--server.listen={memod.address}"]
            run = self.memod(*ask)
            self.assertEqual((run.returncode, run.stdout), (0, "serving\n"), run.stderr)

            session = client.open(adder(delay=3))
            call = session.start(CALCULATE, numbers(1))
            with memod.admin() as admin:
                eventually("the call runs", lambda: memod.gauges(admin)["flights"])
            memod.send(signal.SIGTERM)
            memod.wait_for_log("draining")
            run = self.memod(*ask)
            self.assertEqual((run.returncode, run.stdout), (1, "not serving\n"), run.stderr)
            call.cancel()
            self.assertEqual(memod.wait(), 0)
            run = self.memod(*ask)
            self.assertEqual(run.returncode, 1)
            self.assertIn(memod.address, run.stderr)


class LogTest(unittest.TestCase):
    def test_every_line_is_json_whatever_is_in_it(self):
        nasty = os.fsdecode(b'MEMOD_"\\\n\t\x01\x1b[31m\xff\xc3\xa4')
        memod = self.enterContext(Memod("--log.level=trace", env={nasty: "1"}))
        with memod.client() as client:
            client.open(adder()).call(CALCULATE, numbers(1))
        self.assertEqual(memod.stop(), 0)
        lines = [json.loads(line) for line in memod.lines]
        self.assertGreater(len(lines), 5)
        for line in lines:
            self.assertLessEqual({"time", "level", "message"}, line.keys())
        ignored = next(line for line in lines if line["message"].startswith("environment variable"))
        self.assertTrue(ignored["name"].startswith('MEMOD_"\\\n\t\x01\x1b[31m'), ignored)

    def test_handles_are_never_logged(self):
        memod = self.enterContext(Memod("--log.level=trace", "--server.drain_timeout=0s"))
        client = self.enterContext(memod.client())
        admin = self.enterContext(memod.admin())
        sessions = [client.open(adder()) for _ in range(4)]
        for session in sessions:
            session.call(CALCULATE, numbers(1, 2))
            session.cached(CALCULATE, numbers(1, 2), control="refresh")
            session.clear()
            session.info()
        sessions[0].close()
        sessions[1].stream.cancel()
        request = admin_pb2.AdminServiceCloseSessionRequest(session_id=sessions[2].id)
        admin.call("/memo.v1.AdminService/CloseSession", request)
        for session in sessions[:3]:
            memod.wait_for_log("session closed", session=session.id)
            for path in (CALCULATE, "/memo.v1.SessionService/GetCacheInfo"):
                with self.assertRaises(grpc.RpcError) as refused:
                    session.call(path)
                self.assertEqual(refused.exception.code(), grpc.StatusCode.NOT_FOUND)
        self.assertEqual(memod.stop(), 0)
        for session in sessions:
            self.assertGreaterEqual(len(session.handle), 32)
            self.assertIn(session.id, memod.stderr())
            self.assertNotIn(session.handle, memod.stderr())
            self.assertNotIn(session.handle, session.id)

    def test_closing_a_session_logs_its_receipt(self):
        memod = self.enterContext(Memod())
        with memod.client() as client:
            session = client.open(adder(delay=0.05))
            for n in range(3):
                session.call(CALCULATE, numbers(n))
            receipt = session.close()
        line = memod.wait_for_log("session closed", session=session.id)
        self.assertEqual(line["reason"], "closed by client")
        self.assertEqual((line["entries"], receipt.entries), (3, 3))
        self.assertEqual(line["bytes"], receipt.bytes)
        self.assertGreater(line["bytes"], 0)
        self.assertAlmostEqual(line["compute_seconds"], receipt.compute_seconds)
        self.assertGreaterEqual(line["compute_seconds"], 0.15)


if __name__ == "__main__":
    unittest.main()
