"""memod as a library: installed, found with find_package(memod), and made a server of one's own."""

import importlib
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import grpc

import harness
from harness import BINARY_DIR, Memod, metadata_of

OWN_SERVICE = pathlib.Path(__file__).parent / "own_service"
GREET = "/own.v1.Greeter/Greet"


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


class InstalledPackageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.prefix = directory / "prefix"
        build = directory / "build"
        run("cmake", "--install", BINARY_DIR, "--prefix", cls.prefix)
        flags = os.environ.get("OWN_SERVICE_CXX_FLAGS", "")
        given = (f"-DCMAKE_PREFIX_PATH={cls.prefix}", f"-DCMAKE_CXX_FLAGS={flags}")
        run("cmake", "-S", OWN_SERVICE, "-B", build, "-G", "Ninja", *given)
        run("cmake", "--build", build)
        run("protoc", f"-I{OWN_SERVICE}", f"--python_out={directory}", "greeter.proto")
        sys.path.insert(0, str(directory))
        cls.messages = importlib.import_module("greeter_pb2")
        cls.server = str(build / "greeter")
        cls.client = str(build / "greeter_client")

    def test_pages_and_completions_are_where_man_and_shells_look(self):
        share = self.prefix / "share"
        for name in (
            "man/man1/memoctl.1",
            "man/man8/memod.8",
            "bash-completion/completions/memoctl",
            "zsh/vendor-completions/_memoctl",
        ):
            self.assertGreater((share / name).stat().st_size, 0, name)

    def test_own_service_is_served_and_memoized(self):
        greeter_pb2 = self.messages
        memod = self.enterContext(Memod(program=self.server))
        client = self.enterContext(memod.client())
        session = client.open(greeter_pb2.GreeterState(greeting="Hello"))
        request = greeter_pb2.GreetRequest(name="World")
        for status in ("miss", "hit"):
            call = session.start(GREET, request)
            self.assertEqual(call.result().text, "Hello, World!")
            self.assertEqual(metadata_of(call)["memo-cache"], status)
        self.assertEqual(session.info(GREET).maxsize, 1000)
        with self.assertRaises(grpc.RpcError) as refused:
            client.open(greeter_pb2.GreeterState())
        self.assertEqual(refused.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn("greeting: must not be empty", refused.exception.details())
        with self.assertRaises(grpc.RpcError) as refused:
            client.open(harness.adder())
        self.assertIn("own.v1.GreeterState", refused.exception.details())
        self.assertEqual(memod.stop(), 0)

    def test_own_client_holds_a_session(self):
        memod = self.enterContext(Memod(program=self.server))
        session = run(self.client, memod.address).strip()
        line = memod.wait_for_log("session closed", session=session)
        self.assertEqual(line["reason"], "closed by client")

    def test_installed_programs_run(self):
        for name in ("memod", "memoctl"):
            said = run(self.prefix / "bin" / name, "--version")
            self.assertRegex(said, rf"^{name} \d+\.\d+\.\d+\n$")

    def test_nothing_installed_points_into_the_build(self):
        for path in self.prefix.rglob("*.cmake"):
            text = path.read_text()
            for root in (harness.SOURCE_DIR, BINARY_DIR):
                self.assertNotIn(str(root), text, path)


if __name__ == "__main__":
    unittest.main()
