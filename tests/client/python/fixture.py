"""A memod for each test, and a channel to it; at the end of each nothing is left in the server."""

import gc
import unittest

import grpc
from harness import Memod, eventually
from memo.v1 import admin_pb2

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
