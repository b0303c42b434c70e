"""A memod for each test, and a channel to it; at the end of each nothing is left in the server."""

import gc
import queue
import unittest

import grpc
from harness import SOON, Memod, eventually
from memo.v1 import admin_pb2
from relay import Relay
from seeds import SlowAdder

import memo


class MemodTest(unittest.TestCase):
    def setUp(self):
        self.memod = self.enterContext(Memod("--compute.threads=4"))
        self.admin = self.enterContext(self.memod.admin())
        self.channel = self.enterContext(self.new_channel())

    def new_channel(self):
        return grpc.insecure_channel(self.memod.address, memo.KEEPALIVE + memo.OWN_CONNECTION)

    def gauges(self):
        return self.memod.gauges(self.admin)

    def check_nothing_is_left(self):
        eventually("nothing is left in the server", lambda: not any(self.gauges().values()))

    def check_collected_leaves_nothing(self):
        gc.collect()
        self.check_nothing_is_left()

    def close_as_administrator(self, session_id):
        request = admin_pb2.AdminServiceCloseSessionRequest(session_id=session_id)
        self.admin.call("/memo.v1.AdminService/CloseSession", request)


class RelayedTest(MemodTest):
    """With a network in between, that may be cut, and adders that tell what becomes of them."""

    def serve(self, *flags):
        self.memod = self.enterContext(Memod(*flags))
        self.admin = self.enterContext(self.memod.admin())
        self.relay = self.enterContext(Relay(self.memod.address))
        self.far = self.enterContext(
            grpc.insecure_channel(self.relay.address, memo.KEEPALIVE + memo.OWN_CONNECTION)
        )
        self.told = queue.SimpleQueue()

    def open(self, **options):
        return SlowAdder(
            self.far,
            on_resumed=lambda: self.told.put("resumed"),
            on_reopened=lambda: self.told.put("reopened"),
            on_lost=lambda lost: self.told.put(lost.code),
            **options,
        )

    def check_told(self, event):
        self.assertEqual(self.told.get(timeout=SOON), event)
