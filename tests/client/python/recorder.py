"""A server that shows what memod does not tell."""

import concurrent.futures
import threading
import unittest

import grpc
from memo.v1 import session_pb2, session_pb2_grpc

import memo


class Recorder(session_pb2_grpc.SessionServiceServicer):
    """A server that says what it was sent. Its sessions open once `opens` is set."""

    def __init__(self):
        self.opens = threading.Event()
        self.opens.set()
        self.ended = threading.Event()
        self.opening_metadata = {}
        self.forgotten = None

    def OpenSession(self, request, context):  # noqa: N802
        over = threading.Event()
        context.add_callback(self.ended.set)
        context.add_callback(over.set)
        context.add_callback(self.opens.set)
        self.opening_metadata = dict(context.invocation_metadata())
        self.opens.wait()
        opened = session_pb2.Opened(handle="secret", session_id="public")
        yield session_pb2.OpenSessionResponse(opened=opened)
        over.wait()

    def Forget(self, request, context):  # noqa: N802
        self.forgotten = request, dict(context.invocation_metadata())
        return session_pb2.ForgetResponse(receipt=session_pb2.ReleaseReceipt(entries=1, bytes=2))


class RecordedTest(unittest.TestCase):
    """Against a Recorder and other `handlers`."""

    handlers = ()
    make_recorder = Recorder

    def setUp(self):
        self.recorder = self.make_recorder()
        executor = self.enterContext(concurrent.futures.ThreadPoolExecutor(8))
        server = grpc.server(executor, handlers=self.handlers)
        session_pb2_grpc.add_SessionServiceServicer_to_server(self.recorder, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(lambda: server.stop(grace=0).wait())
        own = memo.OWN_CONNECTION
        self.channel = self.enterContext(grpc.insecure_channel(f"127.0.0.1:{port}", own))
