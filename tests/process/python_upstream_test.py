"""Services in Python behind memod, sync and aio, and clients of them in Python, sync and aio: what
each of the four hears through memod is what it hears of the service itself. Of the service's
methods one is memoized."""

import asyncio
import multiprocessing
import signal
import subprocess
import sys
import threading
import unittest
from concurrent import futures

import grpc

from harness import SOON, Memod, eventually

SERVICE = "python.v1.Slow"
COMPUTE, UNARY, EXPAND, JOIN, CHAT, FAIL, WAIT = (
    f"/{SERVICE}/{name}" for name in ("Compute", "Unary", "Expand", "Join", "Chat", "Fail", "Wait")
)
CONFIG = """
[[upstream]]
name = "python"
target = "127.0.0.1:{port}"
  [[upstream.method]]
  name = "{method}"
  answer.metadata = ["x-cost"]
"""
# In both directions.
METADATA = (("x-text", "a"), ("x-text", "b"), ("x-bytes-bin", b"\x00\xff"))


def by_name(metadata):
    """The values of a name stay in their order, as they have to; the names need not."""
    return sorted(map(tuple, metadata), key=lambda entry: entry[0])


def sent(context):
    """Of the metadata that a call came with, what its caller sent."""
    return by_name(entry for entry in context.invocation_metadata() if entry[0] != "user-agent")


class Service:
    """What both kinds of service count and tell. Messages are bytes: nobody needs to know them."""

    def __init__(self):
        self.computed = []
        self.seen = None
        self.ended = threading.Event()

    def handler(self):
        handlers = {
            "Compute": grpc.unary_unary_rpc_method_handler(self.compute),
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Expand": grpc.unary_stream_rpc_method_handler(self.expand),
            "Join": grpc.stream_unary_rpc_method_handler(self.join),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Wait": grpc.unary_stream_rpc_method_handler(self.wait),
        }
        return grpc.method_handlers_generic_handler(SERVICE, handlers)


class SyncService(Service):
    def __enter__(self):
        self._server = grpc.server(futures.ThreadPoolExecutor(16))
        self._server.add_generic_rpc_handlers((self.handler(),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        return self

    def __exit__(self, *_):
        self._server.stop(None).wait()

    def compute(self, request, context):
        self.computed.append(request)
        context.send_initial_metadata((("x-cost", "3"), ("x-other", "4")))
        return b"computed " + request

    def unary(self, request, context):
        self.seen = (sent(context), context.time_remaining())
        context.send_initial_metadata(METADATA)
        context.set_trailing_metadata(METADATA)
        return request

    def expand(self, request, context):
        for i in range(int(request)):
            yield b"%d" % i

    def join(self, requests, context):
        return b",".join(requests)

    def chat(self, requests, context):
        for request in requests:
            yield b"you said " + request

    def fail(self, request, context):
        context.set_trailing_metadata(METADATA)
        context.abort(grpc.StatusCode.OUT_OF_RANGE, "too far: \u20ac")

    def wait(self, request, context):
        self.ended.clear()
        context.add_callback(self.ended.set)
        yield b"waiting"
        self.ended.wait(SOON)


class AioService(Service):
    def __enter__(self):
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)))
        self._thread.start()
        assert started.wait(SOON)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    async def _serve(self, started):
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((self.handler(),))
        self.port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        started.set()
        await self._stopping.wait()
        await server.stop(None)

    async def compute(self, request, context):
        self.computed.append(request)
        await context.send_initial_metadata((("x-cost", "3"), ("x-other", "4")))
        return b"computed " + request

    async def unary(self, request, context):
        self.seen = (sent(context), context.time_remaining())
        await context.send_initial_metadata(METADATA)
        context.set_trailing_metadata(METADATA)
        return request

    async def expand(self, request, context):
        for i in range(int(request)):
            yield b"%d" % i

    async def join(self, requests, context):
        return b",".join([request async for request in requests])

    async def chat(self, requests, context):
        async for request in requests:
            yield b"you said " + request

    async def fail(self, request, context):
        await context.abort(grpc.StatusCode.OUT_OF_RANGE, "too far: \u20ac", METADATA)

    async def wait(self, request, context):
        self.ended.clear()
        try:
            yield b"waiting"
            await asyncio.sleep(SOON)
        finally:
            self.ended.set()


def hear_sync(address):
    """What a sync client hears of every kind of call."""
    heard = {}
    with grpc.insecure_channel(address) as channel:
        unary = channel.unary_unary(UNARY).with_call
        answer, call = unary(b"x", metadata=METADATA, timeout=SOON)
        heard["unary"] = answer, by_name(call.initial_metadata()), by_name(call.trailing_metadata())
        heard["expand"] = list(channel.unary_stream(EXPAND)(b"1000", timeout=SOON))
        heard["join"] = channel.stream_unary(JOIN)(iter([b"a", b"", b"c"]), timeout=SOON)
        heard["chat"] = list(channel.stream_stream(CHAT)(iter([b"a", b"b"]), timeout=SOON))
        try:
            channel.unary_unary(FAIL)(b"x", timeout=SOON)
        except grpc.RpcError as error:
            heard["fail"] = error.code(), error.details(), by_name(error.trailing_metadata())
        try:
            list(channel.unary_stream(WAIT)(b"x", timeout=0.2))
        except grpc.RpcError as error:
            heard["deadline"] = error.code()
    return heard


def hear_aio(address):
    """The same of an aio client."""
    return asyncio.run(_hear_aio(address))


async def _hear_aio(address):
    heard = {}

    async def each(*messages):
        for message in messages:
            yield message

    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(UNARY)(b"x", metadata=METADATA, timeout=SOON)
        answer = await call
        initial, trailing = await call.initial_metadata(), await call.trailing_metadata()
        heard["unary"] = answer, by_name(initial), by_name(trailing)
        expanded = channel.unary_stream(EXPAND)(b"1000", timeout=SOON)
        heard["expand"] = [message async for message in expanded]
        heard["join"] = await channel.stream_unary(JOIN)(each(b"a", b"", b"c"), timeout=SOON)
        said = channel.stream_stream(CHAT)(each(b"a", b"b"), timeout=SOON)
        heard["chat"] = [message async for message in said]
        try:
            await channel.unary_unary(FAIL)(b"x", timeout=SOON)
        except grpc.aio.AioRpcError as error:
            heard["fail"] = error.code(), error.details(), by_name(error.trailing_metadata())
        try:
            async for _ in channel.unary_stream(WAIT)(b"x", timeout=0.2):
                pass
        except grpc.aio.AioRpcError as error:
            heard["deadline"] = error.code()
    return heard


# A client that starts a call, says so, and reads on.
STREAMING_CLIENT = """
import sys, grpc
stream = grpc.insecure_channel(sys.argv[1]).unary_stream(sys.argv[2])(b"")
print(next(stream), flush=True)
next(stream)
"""


class PythonUpstreamTest:
    make_service = None

    def setUp(self):
        self.service = self.enterContext(self.make_service())
        config = CONFIG.format(port=self.service.port, method=COMPUTE)
        self.memod = self.enterContext(Memod(config=config))

    def check(self, hear):
        # In a process of its own: two loops of grpc.aio in one process wake one another.
        spawn = multiprocessing.get_context("spawn")
        with futures.ProcessPoolExecutor(1, mp_context=spawn) as client:
            direct = client.submit(hear, f"127.0.0.1:{self.service.port}").result()
            seen_direct = self.service.seen[0]
            through = client.submit(hear, self.memod.address).result()
        self.assertEqual(through, direct)
        self.assertEqual(self.service.seen[0], seen_direct)
        self.assertLessEqual(self.service.seen[1], SOON * 1.02)
        self.assertGreater(self.service.seen[1], SOON / 2)
        # And that it is something.
        self.assertEqual(through["unary"][0], b"x")
        self.assertEqual(through["unary"][1], by_name(METADATA))
        self.assertEqual(len(through["expand"]), 1000)
        self.assertEqual(through["join"], b"a,,c")
        self.assertEqual(through["chat"], [b"you said a", b"you said b"])
        self.assertEqual(through["fail"][:2], (grpc.StatusCode.OUT_OF_RANGE, "too far: \u20ac"))
        self.assertEqual(through["deadline"], grpc.StatusCode.DEADLINE_EXCEEDED)

    def test_a_sync_client_hears_what_it_hears_directly(self):
        self.check(hear_sync)

    def test_an_aio_client_hears_what_it_hears_directly(self):
        self.check(hear_aio)

    def test_a_conversation_goes_on_word_by_word(self):
        words, heard = iter([b"a", b"b", b"c"]), []
        said = threading.Semaphore(1)

        def speak():
            for word in words:
                self.assertTrue(said.acquire(timeout=SOON))
                yield word

        with grpc.insecure_channel(self.memod.address) as channel:
            for answer in channel.stream_stream(CHAT)(speak(), timeout=SOON):
                heard.append(answer)
                said.release()
        self.assertEqual(heard, [b"you said a", b"you said b", b"you said c"])

    def test_calls_of_a_session_are_memoized_for_it(self):
        def ask(session, request):
            with grpc.insecure_channel(self.memod.address) as channel:
                method = channel.unary_unary(COMPUTE).with_call
                metadata = (("memo-session", session.handle),)
                answer, call = method(request, metadata=metadata, timeout=SOON)
            metadata = dict(call.initial_metadata())
            self.assertEqual((metadata["x-cost"], metadata.get("x-other")), ("3", None))
            self.assertEqual(answer, b"computed " + request)
            return metadata["memo-cache"]

        with self.memod.client() as client:
            first, second = client.open(), client.open()
            self.assertEqual([ask(first, b"x") for _ in range(3)], ["miss", "hit", "hit"])
            self.assertEqual(ask(second, b"x"), "miss")
            self.assertEqual(ask(first, b"y"), "miss")
            self.assertEqual(self.service.computed, [b"x", b"x", b"y"])
            self.assertEqual(first.close().entries, 2)

    def test_cancelling_reaches_the_service(self):
        with grpc.insecure_channel(self.memod.address) as channel:
            call = channel.unary_stream(WAIT)(b"x", timeout=SOON)
            self.assertEqual(next(call), b"waiting")
            call.cancel()
            self.assertTrue(self.service.ended.wait(SOON))

    def test_a_killed_client_is_gone_for_the_service_at_once(self):
        # The best of some, since the machine may have other things to do.
        took = [self.seconds_until_a_killed_client_is_gone() for _ in range(5)]
        self.assertLess(min(took), 0.1)

    def seconds_until_a_killed_client_is_gone(self):
        self.service.ended.clear()
        client = subprocess.Popen(
            [sys.executable, "-c", STREAMING_CLIENT, self.memod.address, WAIT],
            stdout=subprocess.PIPE,
        )
        with client:
            self.addCleanup(client.kill)
            self.assertEqual(client.stdout.readline(), b"b'waiting'\n")
            self.assertFalse(self.service.ended.is_set())
            client.send_signal(signal.SIGKILL)
            return eventually("cancelled", self.service.ended.is_set)


class SyncUpstreamTest(PythonUpstreamTest, unittest.TestCase):
    make_service = SyncService


class AioUpstreamTest(PythonUpstreamTest, unittest.TestCase):
    make_service = AioService


if __name__ == "__main__":
    unittest.main()
