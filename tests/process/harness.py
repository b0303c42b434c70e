"""What the tests here share: a memod of their own, and clients of it.

    with harness.Memod("--compute.threads=4") as memod, memod.client() as client:
        session = client.open(adder(delay=1))
        assert session.call(CALCULATE, numbers(1, 2)).sum == 3

Nothing sleeps where there is an event to wait for; `eventually` polls where there is none.
"""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import grpc
from google.protobuf import descriptor_pool

import health_pb2
from memo.examples.v1 import dataset_pb2, slow_adder_pb2
from memo.v1 import admin_pb2, session_pb2  # noqa: F401, `_method` looks the admin's up

MEMOD = os.environ["MEMOD"]
MEMOCTL = os.environ["MEMOCTL"]
SOURCE_DIR = pathlib.Path(os.environ["MEMOD_SOURCE_DIR"])
BINARY_DIR = pathlib.Path(os.environ["MEMOD_BINARY_DIR"])
# Everything here is on this machine, whatever the way out of it is.
for proxy in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[proxy]
# Without our own MEMOD_*, which a memod would take for its configuration; and whatever else is in use
# on this machine, a test's memod goes by its own memory, if any.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("MEMO")}
ENVIRONMENT["MEMOD_SERVER_MAX_MEMORY"] = "unbounded"

CALCULATE = "/memo.examples.v1.SlowAdder/Calculate"
FIBONACCI = "/memo.examples.v1.SlowAdder/Fibonacci"
DESCRIBE = "/memo.examples.v1.Dataset/Describe"

SOON = 20  # seconds, for what happens at once unless something is wrong


def eventually(what, holds, seconds=SOON):
    """Polls until holds() is true and returns how many seconds that took; fails after `seconds`."""
    begin = time.monotonic()
    while not (value := holds()):
        if time.monotonic() - begin > seconds:
            raise AssertionError(f"not within {seconds} s: {what}; last: {value!r}")
        time.sleep(0.002)
    return time.monotonic() - begin


def adder(delay=0.0):
    """The state of a session with a SlowAdder; `delay` in seconds."""
    state = slow_adder_pb2.SlowAdderState()
    state.delay.FromNanoseconds(int(delay * 1e9))
    return state


def dataset(csv):
    return dataset_pb2.DatasetState(csv=csv)


def numbers(*each):
    return slow_adder_pb2.CalculateRequest(numbers=each)


def fibonacci(n):
    return slow_adder_pb2.FibonacciRequest(n=n)


def metadata_of(call):
    """What came with an answer or an error, the trailing metadata over the initial."""
    return {**dict(call.initial_metadata()), **dict(call.trailing_metadata())}


class Client:
    """A connection to a port of memod, for any method of the .protos by its full name."""

    def __init__(self, address, options=()):
        own_connection = ("grpc.use_local_subchannel_pool", 1)
        self.channel = grpc.insecure_channel(address, [own_connection, *options])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def start(self, path, request=None, metadata=(), timeout=60):
        """A future of the answer."""
        make_request, method = self._method(path, self.channel.unary_unary)
        return method.future(request or make_request(), timeout=timeout, metadata=metadata)

    def call(self, path, request=None, metadata=(), timeout=60):
        return self.start(path, request, metadata, timeout).result()

    def open(self, state=None):
        make_request, method = self._method(
            "/memo.v1.SessionService/OpenSession", self.channel.unary_stream
        )
        request = make_request()
        if state is not None:
            request.state.Pack(state)
        return Session(self, method(request))

    def health(self, service=""):
        """The name of its status, as in SERVING."""
        request = health_pb2.HealthCheckRequest(service=service)
        answer = self.call("/grpc.health.v1.Health/Check", request)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

    @staticmethod
    def _method(path, make):
        service, name = path[1:].split("/")
        method = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
        request, response = method.input_type._concrete_class, method.output_type._concrete_class
        stub = make(
            path,
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return request, stub


class Session:
    """An open session, which ends with this object or its client: so keep both."""

    def __init__(self, client, stream):
        self.client = client
        self.stream = stream
        opened = next(stream).opened
        self.handle, self.id = opened.handle, opened.session_id

    def start(self, path, request=None, control=None, timeout=60):
        """A future of the answer."""
        metadata = [("memo-session", self.handle)]
        if control is not None:
            metadata.append(("memo-control", control))
        return self.client.start(path, request, metadata, timeout)

    def call(self, path, request=None, control=None):
        return self.start(path, request, control).result()

    def cached(self, path, request=None, control=None):
        """How the answer came: hit, miss, coalesced or bypass."""
        call = self.start(path, request, control)
        call.result()
        return metadata_of(call)["memo-cache"]

    def info(self, method=""):
        request = session_pb2.GetCacheInfoRequest(method=method)
        return self.call("/memo.v1.SessionService/GetCacheInfo", request).total

    def clear(self, method=""):
        request = session_pb2.ClearCacheRequest(method=method)
        return self.call("/memo.v1.SessionService/ClearCache", request).receipt

    def close(self):
        return self.call("/memo.v1.SessionService/CloseSession").receipt


class Memod:
    """A memod on free ports. Leaving `with` stops it, unless the test has, and checks that it was
    still there and ends well: that is where a sanitizer has its say."""

    LISTENERS = ("server.listen", "admin.listen", "admin.http")

    def __init__(self, *flags, config="", env=None, serving=True, program=MEMOD):
        self._directory = tempfile.TemporaryDirectory()
        self.config = pathlib.Path(self._directory.name, "memod.toml")
        self.config.write_text(config)
        given = {flag.partition("=")[0] for flag in flags}
        free = [f"--{key}=127.0.0.1:0" for key in self.LISTENERS if f"--{key}" not in given]
        self.process = subprocess.Popen(
            [program, f"--config={self.config}", "--log.format=json", *free, *flags],
            stderr=subprocess.PIPE,
            text=True,
            env={**ENVIRONMENT, **(env or {})},
        )
        self.code = None  # its exit code, once `wait` has seen it
        self.lines = []  # what it wrote to stderr
        self._changed = threading.Condition()
        self._reading = True
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        if serving:
            line = self.wait_for_log("serving")
            self.address = self._reachable(line["listen"], line["port"])
            self.admin_address = self._reachable(line["admin"], line["admin_port"])
            self.http_address = self._reachable(line["http"], line["http_port"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            if self.code is None:
                there = self.process.poll() is None
                code = self.stop()
                assert there and code == 0, f"memod ended with {code}:\n{self.stderr()}"
        finally:
            self.process.kill()
            self.wait()
            self.process.stderr.close()
            self._directory.cleanup()

    def client(self, options=()):
        return Client(self.address, options)

    def admin(self):
        return Client(self.admin_address)

    def gauges(self, admin):
        """What is alive in the server, by name."""
        gauges = admin.call("/memo.v1.AdminService/GetDebugState").gauges
        return {field.name: getattr(gauges, field.name) for field in gauges.DESCRIPTOR.fields}

    def get(self, path):
        """The status and the body of an HTTP GET."""
        try:
            url = f"http://{self.http_address}{path}"
            with urllib.request.urlopen(url, timeout=SOON) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def log(self, message):
        """The lines so far with this message, parsed."""
        with self._changed:
            lines = [json.loads(line) for line in self.lines if line.startswith("{")]
        return [line for line in lines if line["message"] == message]

    def wait_for_log(self, message, **fields):
        """The first line with this message and these fields."""
        deadline = time.monotonic() + SOON
        with self._changed:
            while True:
                for line in self.log(message):
                    if fields.items() <= line.items():
                        return line
                left = deadline - time.monotonic()
                if left <= 0 or not self._reading:
                    raise AssertionError(f"no line {message!r} {fields} in:\n{self.stderr()}")
                self._changed.wait(left)

    def stderr(self):
        with self._changed:
            return "".join(self.lines)

    def send(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, timeout=60):
        """Its exit code, when all that it wrote is in `lines`."""
        self.code = self.process.wait(timeout)
        self._reader.join()
        return self.code

    def stop(self, number=signal.SIGTERM):
        self.send(number)
        return self.wait()

    @staticmethod
    def _reachable(configured, port):
        return configured if configured.startswith("unix:") else f"127.0.0.1:{port}"

    def _read(self):
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._reading = False
            self._changed.notify_all()


class Load:
    """A C++ client that calls all the time, on sessions that may move between the servers. Leaving
    `with` stops it; from then on there are `errors`, a line for each call that failed."""

    def __init__(self, sessions, addresses):
        self.process = subprocess.Popen(
            [os.environ["ROLLING_CLIENT"], str(sessions), *addresses],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            _, errors = self.process.communicate(timeout=60)
            self.errors = errors.splitlines()
        finally:
            self.process.kill()

    def so_far(self):
        """What has happened, counted: calls, failed, wrong, moves, losses."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())
