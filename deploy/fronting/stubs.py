"""The messages and stubs of pricer.proto, compiled when the program starts."""

import importlib
import pathlib
import subprocess
import sys
import tempfile

_HERE = pathlib.Path(__file__).parent
_made = tempfile.TemporaryDirectory()
subprocess.run(
    ["protoc", f"-I{_HERE}", f"--python_out={_made.name}", f"--grpc_out={_made.name}",
     "--plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin", "pricer.proto"],
    check=True,
)
sys.path.insert(0, _made.name)
_messages = importlib.import_module("pricer_pb2")
grpc_stubs = importlib.import_module("pricer_pb2_grpc")
QuoteRequest = _messages.QuoteRequest
QuoteResponse = _messages.QuoteResponse
