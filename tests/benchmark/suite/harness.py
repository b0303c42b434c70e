"""Processes of a measurement: each on a CPU of its own, and none left running."""

import ctypes
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("MEMOD_BINARY_DIR", ROOT / "build" / "benchmark"))
PROGRAMS = BUILD / "tests" / "benchmark"

# What is measured runs on one CPU, what measures it on another; on the same one if there is no other.
SERVER_CPU = min(os.sched_getaffinity(0))
CLIENT_CPU = max(os.sched_getaffinity(0))

PATIENCE = 10  # seconds that a process gets to stop

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class CannotRun(Exception):
    """A row cannot be measured; str() says why, in words for the table."""


def _in_child(cpu):
    def prepare():
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # whatever becomes of us
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})

    return prepare


class Process:
    """A program, from `with` to the end of its block: stopped with SIGTERM, killed if that is not enough."""

    def __init__(self, argv, cpu=None):
        self.argv = [str(argument) for argument in argv]
        self._cpu = cpu

    def __enter__(self):
        self._output = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.PIPE,  # open as long as this is
                stdout=self._output,
                stderr=subprocess.STDOUT,
                preexec_fn=_in_child(self._cpu),
            )
        except OSError as error:
            self._output.close()
            raise CannotRun(f"{self.argv[0]}: {error.strerror}") from error
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdin.close()
        self._output.close()

    @property
    def pid(self):
        return self._process.pid

    def output(self):
        return os.pread(self._output.fileno(), 1 << 20, 0).decode(errors="replace")

    def wait_until(self, ready, what, seconds=20):
        """Until ready() is something; that is returned."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise CannotRun(f"{self.argv[0]} has ended: {last_line(self.output())}")
            if result := ready():
                return result
            time.sleep(0.01)
        raise CannotRun(f"{self.argv[0]}: no {what} within {seconds} s")


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1] if lines else "without a word"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def listens(port):
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def run_program(name, *options, timeout=600):
    """A program of tests/benchmark; its JSON lines."""
    program = PROGRAMS / name
    if not program.exists():
        raise CannotRun(f"{name} is not built here")
    with tempfile.TemporaryFile() as errors:
        try:
            done = subprocess.run(
                [program, *map(str, options)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                timeout=timeout,
                preexec_fn=_in_child(None),
            )
        except subprocess.TimeoutExpired as error:
            raise CannotRun(f"{name} took more than {timeout} s") from error
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    if done.returncode != 0:
        raise CannotRun(f"{name} ended with {done.returncode}: {last_line(said)}")
    try:
        return [json.loads(line) for line in done.stdout.splitlines()]
    except ValueError as error:
        raise CannotRun(f"{name} printed what is no JSON line: {error}") from error


def pinning():
    return ["--server-cpu", SERVER_CPU, "--client-cpu", CLIENT_CPU]
