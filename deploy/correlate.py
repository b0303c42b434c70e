#!/usr/bin/python3
"""Calls Dataset/Correlate twice on an open session and shows how the answers came.

    MEMO_SESSION=<handle> deploy/correlate.py 127.0.0.1:7070 temp_max wind 300000

A plain gRPC client: all that memod wants of it is one metadata entry, memo-session. The messages
are compiled from the .proto by protoc.
"""

import importlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import grpc

PROTO_ROOT = pathlib.Path(__file__).resolve().parent.parent / "proto"


def compile_messages(proto):
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(["protoc", f"-I{PROTO_ROOT}", f"--python_out={out}", proto], check=True)
        sys.path.insert(0, out)
        return importlib.import_module(proto.removesuffix(".proto").replace("/", ".") + "_pb2")


def main(address, x, y, resamples):
    dataset = compile_messages("memo/examples/v1/dataset.proto")
    request = dataset.CorrelateRequest(x=x, y=y, resamples=int(resamples), seed=42)
    metadata = [("memo-session", os.environ["MEMO_SESSION"])]
    with grpc.insecure_channel(address) as channel:
        correlate = channel.unary_unary(
            "/memo.examples.v1.Dataset/Correlate",
            request_serializer=dataset.CorrelateRequest.SerializeToString,
            response_deserializer=dataset.CorrelateResponse.FromString,
        )
        grpc.channel_ready_future(channel).result(timeout=5)
        for _ in range(2):
            begin = time.perf_counter()
            answer, call = correlate.with_call(request, metadata=metadata)
            took = (time.perf_counter() - begin) * 1000
            cache = dict(call.initial_metadata())["memo-cache"]
            print(
                f"Correlate({x}, {y}): {answer.correlation:.4f} over {answer.rows} days, 95 % "
                f"[{answer.interval.low:.4f}, {answer.interval.high:.4f}]  "
                f"{took:9.2f} ms  memo-cache: {cache}"
            )


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
