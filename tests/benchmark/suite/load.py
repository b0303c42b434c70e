"""Unary gRPC calls as fast as a server answers them, by h2load, which takes a third of the time for
each that gRPC's own client takes. It does not look into answers, so they are weighed here."""

import re
import subprocess
import tempfile

from harness import CLIENT_CPU, CannotRun, last_line

CALLERS = 64


def message(field):
    """A gRPC frame of a message whose first field is this text, shorter than 128 bytes."""
    payload = bytes([0x0A, len(field)]) + field
    return b"\0" + len(payload).to_bytes(4, "big") + payload


def calls_per_second(address, path, request, answer_bytes, seconds, metadata=()):
    """`request` is a frame; each answer must have a message of `answer_bytes`."""
    with tempfile.NamedTemporaryFile() as body:
        body.write(request)
        body.flush()
        headers = ["content-type: application/grpc", "te: trailers", *metadata]
        argv = ["taskset", "-c", str(CLIENT_CPU), "h2load", "-c", "1", "-m", str(CALLERS)]
        argv += ["-D", f"{round(seconds * 1000)}ms", "-d", body.name]
        argv += [part for header in headers for part in ("-H", header)]
        try:
            done = subprocess.run([*argv, f"http://{address}{path}"], capture_output=True, text=True, timeout=seconds + 30)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotRun(f"h2load: {error}") from error
    return read_report(done.stdout + done.stderr, answer_bytes)


def read_report(said, answer_bytes):
    rate = re.search(r"^finished in .*?, ([\d.]+) req/s", said, re.MULTILINE)
    counts = re.search(r"^requests: .* (\d+) done, (\d+) succeeded, (\d+) failed", said, re.MULTILINE)
    data = re.search(r"\((\d+)\) data", said)
    if not (rate and counts and data):
        raise CannotRun(f"h2load: {last_line(said)}")
    done, succeeded, failed = map(int, counts.groups())
    if done == 0 or succeeded != done or failed != 0:
        raise CannotRun(f"h2load: of {done} calls {succeeded} succeeded")
    # An error of gRPC's is a success to h2load, and has no message.
    if int(data.group(1)) < done * (5 + answer_bytes):
        raise CannotRun(f"h2load: {data.group(1)} bytes in {done} answers of {answer_bytes} bytes each")
    return float(rate.group(1))
