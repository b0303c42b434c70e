"""The admin's HTTP: what it answers, in which form, and who can reach what."""

import json
import unittest

import grpc

from harness import CALCULATE, FIBONACCI, Memod, adder, fibonacci, numbers

CONFIG = f"""
[[method]]
name = "{CALCULATE}"
max_entries = 7
[[method]]
name = "{FIBONACCI}"
max_entries = "unbounded"
"""


class HttpTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.memod = cls.enterClassContext(Memod(config=CONFIG))
        cls.client = cls.enterClassContext(cls.memod.client())

    def setUp(self):
        self.session = self.client.open(adder())
        self.addCleanup(self.session.close)

    def cache_info(self, query=""):
        code, body = self.memod.get(f"/cache_info{query}")
        self.assertEqual(code, 200, body)
        return json.loads(body)

    def method(self, info, name):
        return next(each["info"] for each in info["methods"] if each["method"] == name)

    def test_cache_info_of_a_session_counts_its_calls(self):
        for _ in range(3):
            self.session.call(CALCULATE, numbers(1, 2))
        info = self.cache_info(f"?session={self.session.id}")
        counted = [info["total"][name] for name in ("hits", "misses", "currsize")]
        self.assertEqual(counted, [2, 1, 1])
        self.assertEqual({each["method"] for each in info["methods"]}, {CALCULATE, FIBONACCI})

    def test_cache_info_of_a_method_and_of_a_sessions_method(self):
        self.session.call(FIBONACCI, fibonacci(10))
        for query in ("?", f"?session={self.session.id}&"):
            info = self.cache_info(f"{query}method={CALCULATE}")
            self.assertEqual([each["method"] for each in info["methods"]], [CALCULATE])
        info = self.cache_info(f"?session={self.session.id}&method={FIBONACCI}")
        self.assertEqual(info["total"]["currsize"], 11)

    def test_numbers_are_numbers_and_unbounded_is_null(self):
        self.session.call(CALCULATE, numbers(3))
        info = self.cache_info(f"?session={self.session.id}")
        self.assertEqual(self.method(info, CALCULATE)["maxsize"], 7)
        self.assertEqual(self.method(info, CALCULATE)["policy"]["max_entries"], 7)
        self.assertIsNone(self.method(info, FIBONACCI)["maxsize"])
        self.assertIsNone(self.method(info, FIBONACCI)["policy"]["max_entries"])
        self.assertIsNone(info["total"]["maxsize"])
        for name, value in info["total"].items():
            kind = float if name == "compute_seconds_saved" else int
            if name not in ("maxsize", "policy"):
                self.assertIs(type(value), kind, name)
        self.assertEqual(info["gauges"]["sessions"], 1)
        self.assertGreater(info["gauges"]["bytes"], 0)

    def test_unknown_parameter_is_400_and_names_what_there_is(self):
        code, body = self.memod.get("/cache_info?sesion=1")
        self.assertEqual(code, 400)
        for word in ("sesion", "session", "method"):
            self.assertIn(word, body)

    def test_unknown_session_and_unknown_method_are_404_and_named(self):
        for query in ("session=nobody", "method=/no.Such/Method"):
            code, body = self.memod.get(f"/cache_info?{query}")
            self.assertEqual(code, 404)
            self.assertIn(query.partition("=")[2], body)

    def test_a_handle_is_no_session_id(self):
        code, _ = self.memod.get(f"/cache_info?session={self.session.handle}")
        self.assertEqual(code, 404)

    def test_probes(self):
        self.assertEqual(self.memod.get("/livez"), (200, "ok\n"))
        self.assertEqual(self.memod.get("/readyz"), (200, "ok\n"))
        self.assertEqual(self.memod.get("/metricz")[0], 404)

    def test_each_service_is_on_its_own_port_only(self):
        with self.memod.admin() as admin:
            admin.call("/memo.v1.AdminService/ListMethods")
            for client, path in (
                (self.client, "/memo.v1.AdminService/GetCacheInfo"),
                (self.client, "/memo.v1.AdminService/ClearCache"),
                (self.client, "/memo.v1.AdminService/CloseSession"),
                (self.client, "/memo.v1.AdminService/ListSessions"),
                (self.client, "/memo.v1.AdminService/ListMethods"),
                (admin, "/memo.v1.SessionService/CloseSession"),
                (admin, "/memo.v1.SessionService/GetCacheInfo"),
                (admin, CALCULATE),
            ):
                with self.assertRaises(grpc.RpcError) as refused:
                    client.call(path, metadata=[("memo-session", self.session.handle)])
                self.assertEqual(refused.exception.code(), grpc.StatusCode.UNIMPLEMENTED, path)
            with self.assertRaises(grpc.RpcError) as refused:
                admin.open()
            self.assertEqual(refused.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        self.assertEqual(self.session.cached(CALCULATE, numbers(9)), "miss")


if __name__ == "__main__":
    unittest.main()
