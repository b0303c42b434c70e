"""The package as a user has it: installed by pip, without a network, into an environment."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from harness import SOURCE_DIR, Memod

# What a build is made of: the client in its repository.
PARTS = ("CMakeLists.txt", "proto", "client/python")
USES = """\
import grpc
import memo
from memo.v1 import admin_pb2, admin_pb2_grpc, session_pb2, session_pb2_grpc

with grpc.insecure_channel("{address}", memo.KEEPALIVE) as channel:
    with memo.open_session(channel) as session:
        print(memo.__file__, session.id, session.cache_info().maxsize)
"""
TYPED_RIGHT = """\
import grpc
import memo
from typing import Optional

def use(channel: grpc.Channel, lost: list[memo.Lost]) -> Optional[int]:
    with memo.open_session(channel, on_lost=lost.append) as session:
        hits: int = session.cache_info().hits
        control = memo.control("bypass")
        receipt: Optional[memo.Receipt] = session.close()
    return receipt.entries if receipt else hits
"""
TYPED_WRONG = """\
import grpc
import memo

def use(session: memo.Session) -> None:
    memo.control("by-pass")
    session.close().entries
    session.cache_info(1)
    session.id = "other"
    memo.open_session(grpc.insecure_channel(""), on_lost=lambda: None)
"""


def run(*command, code=0):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    if done.returncode != code:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}")
    return done.stdout


class PackageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        repository, environment = cls.directory / "repository", cls.directory / "venv"
        for part in PARTS:
            copy = shutil.copytree if (SOURCE_DIR / part).is_dir() else shutil.copy
            (repository / part).parent.mkdir(parents=True, exist_ok=True)
            copy(SOURCE_DIR / part, repository / part)
        run(sys.executable, "-m", "venv", "--system-site-packages", environment)
        cls.python = environment / "bin/python"
        offline = ("--no-index", "--no-build-isolation", "--no-deps")
        run(cls.python, "-m", "pip", "install", *offline, repository / "client/python")

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def mypy(self, *arguments, code=0):
        config = SOURCE_DIR / "client/python/pyproject.toml"
        cache = self.directory / "mypy"
        return run("mypy", f"--config-file={config}", f"--cache-dir={cache}", *arguments, code=code)

    def test_it_opens_a_session(self):
        with Memod() as memod:
            said = run(self.python, self.write("uses.py", USES.format(address=memod.address)))
            where, session, maxsize = said.split()
            self.assertIn(str(self.directory), where)
            self.assertEqual(maxsize, "None")
            memod.wait_for_log("session closed", session=session, reason="closed by client")

    def test_its_metadata_is_right(self):
        text = (SOURCE_DIR / "CMakeLists.txt").read_text()
        version = re.search(r"project\(memod VERSION (\S+)", text).group(1)
        said = run(self.python, "-m", "pip", "show", "--files", "memod")
        self.assertIn(f"Version: {version}\n", said)
        self.assertIn("License: Apache-2.0\n", said)
        self.assertIn("Requires: grpcio, protobuf\n", said)
        for file in ("py.typed", "v1/session_pb2.py", "v1/session_pb2.pyi", "v1/admin_pb2_grpc.py"):
            self.assertIn(f"  memo/{file}\n", said)
        # Of what else this machine has installed, pip may find what it likes.
        pip_check = (self.python, "-m", "pip", "check")
        checked = subprocess.run(pip_check, capture_output=True, text=True)
        self.assertNotRegex(checked.stdout, "(?m)^memod ")

    def test_it_is_strictly_typed(self):
        os.environ["MYPYPATH"] = str(next(self.directory.glob("venv/lib/*/site-packages")))
        self.addCleanup(os.environ.pop, "MYPYPATH")
        self.mypy("-p", "memo")

    def test_users_of_it_are_checked(self):
        installed = f"--python-executable={self.python}"
        self.mypy(installed, self.write("right.py", TYPED_RIGHT))
        said = self.mypy(installed, self.write("wrong.py", TYPED_WRONG), code=1)
        wrong = {int(line) for line in re.findall(r"(?m)^\S*wrong\.py:(\d+): error", said)}
        self.assertEqual(wrong, {5, 6, 7, 8, 9}, said)

    def test_a_build_without_protoc_says_what_is_missing(self):
        source = self.directory / "repository/client/python"
        command = f"cd {source} && PATH= {sys.executable} setup.py build_py --build-lib {source}/x"
        said = run("/bin/sh", "-c", command, code=1)
        self.assertIn("is built with protoc: apt install protobuf-compiler", said)


if __name__ == "__main__":
    unittest.main()
