"""What pyproject.toml cannot say: the version is CMake's, and memo/v1 is compiled from the .proto
files of the repository, by protoc and gRPC's plugin."""

import pathlib
import re
import shutil
import subprocess

from setuptools import setup
from setuptools.command.build_py import build_py

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROTOS = ("memo/v1/session.proto", "memo/v1/admin.proto")


def version():
    text = (REPOSITORY / "CMakeLists.txt").read_text()
    return re.search(r"^project\(memod VERSION ([\d.]+)", text, re.MULTILINE).group(1)


def program(name, package):
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"memod's Python client is built with {name}: apt install {package}")
    return found


class BuildWithProtos(build_py):
    def run(self):
        super().run()
        protoc = program("protoc", "protobuf-compiler")
        plugin = program("grpc_python_plugin", "protobuf-compiler-grpc")
        to = self.build_lib
        command = [protoc, f"-I{REPOSITORY / 'proto'}", f"--plugin=protoc-gen-grpc={plugin}"]
        command += [f"--python_out={to}", f"--pyi_out={to}", f"--grpc_out={to}", *PROTOS]
        subprocess.run(command, check=True)


setup(version=version(), cmdclass={"build_py": BuildWithProtos})
