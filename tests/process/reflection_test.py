"""buf, a client that nobody here wrote and that has none of our .protos: it learns from server
reflection what it may call, and speaks JSON to its user."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest

from harness import CALCULATE, SOON, SOURCE_DIR, Memod, eventually


def find_buf():
    installed = SOURCE_DIR / "build/tools/node_modules/.bin/buf"  # by tests/install-tools
    candidates = (os.environ.get("MEMOD_BUF"), shutil.which("buf"), str(installed))
    for path in candidates:
        if path and os.access(path, os.X_OK):
            return path
    raise AssertionError("buf is not installed; tests/install-tools does that, or set MEMOD_BUF")


class Buf:
    """`buf curl`, with a home of its own for the time of a test."""

    def __init__(self, test):
        self.program = find_buf()
        self.home = test.enterContext(tempfile.TemporaryDirectory())

    def start(self, address, *arguments):
        return subprocess.Popen(
            [self.program, "curl", "--protocol=grpc", "--http2-prior-knowledge"]
            + [each.replace("{}", f"http://{address}") for each in arguments],
            env={**os.environ, "HOME": self.home, "BUF_CACHE_DIR": self.home},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # npm's buf is a script that starts the real one
        )

    @staticmethod
    def kill(process):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def run(self, address, *arguments):
        with self.start(address, *arguments) as buf:
            out, err = buf.communicate(timeout=SOON)
        return buf.returncode, out, err

    def listed(self, address, what):
        code, out, err = self.run(address, what, "{}")
        if code != 0:
            raise AssertionError(err)
        return set(out.split())


class ReflectionTest(unittest.TestCase):
    def setUp(self):
        self.buf = Buf(self)
        self.memod = self.enterContext(Memod())

    def test_each_port_lists_its_services(self):
        data = self.buf.listed(self.memod.address, "--list-services")
        admin = self.buf.listed(self.memod.admin_address, "--list-services")
        reflection = {f"grpc.reflection.{v}.ServerReflection" for v in ("v1", "v1alpha")}
        hosted = {"memo.examples.v1.SlowAdder", "memo.examples.v1.Dataset"}
        own = {"memo.v1.SessionService", "memo.v1.PipelineService", "grpc.health.v1.Health"}
        self.assertEqual(data, hosted | own | reflection)
        self.assertEqual(admin - reflection, {"memo.v1.AdminService"})

    def test_hosted_methods_and_health_are_described(self):
        methods = self.buf.listed(self.memod.address, "--list-methods")
        self.assertLessEqual({CALCULATE[1:], "grpc.health.v1.Health/Check"}, methods)

    def test_json_call_without_a_session_names_the_metadata(self):
        code, _, err = self.buf.run(self.memod.address, "-d", '{"numbers": [1]}', "{}" + CALCULATE)
        self.assertNotEqual(code, 0)
        self.assertIn("failed_precondition", err)
        self.assertIn("memo-session", err)

    def test_json_calls_on_a_session_held_by_buf(self):
        address = self.memod.address
        state = '{"state": {"@type": "memo.examples.v1.SlowAdderState", "delay": "0.1s"}}'
        holder = self.buf.start(address, "-d", state, "{}/memo.v1.SessionService/OpenSession")
        with holder:
            self.addCleanup(self.buf.kill, holder)
            text = ""
            while text.count("{") == 0 or text.count("{") > text.count("}"):
                line = holder.stdout.readline()
                self.assertTrue(line, "the stream ended")
                text += line
            opened = json.loads(text)["opened"]
            session = f"memo-session: {opened['handle']}"
            for status in ("miss", "hit"):
                code, out, err = self.buf.run(
                    address, "-v", "-H", session, "-d", '{"numbers": [40, 2]}', "{}" + CALCULATE
                )
                self.assertEqual((code, json.loads(out)), (0, {"sum": "42"}), err)
                self.assertIn(f"Memo-Cache: {status}", err)
            with self.memod.admin() as admin:
                self.assertEqual(self.memod.gauges(admin)["entries"], 1)
                self.buf.kill(holder)
                eventually("released", lambda: not any(self.memod.gauges(admin).values()))


if __name__ == "__main__":
    unittest.main()
