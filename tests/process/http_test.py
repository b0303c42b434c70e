"""The admin's HTTP: what it answers, in which form, and who can reach what."""

import contextlib
import http.client
import json
import socket
import time
import unittest

import grpc

from harness import CALCULATE, FIBONACCI, SOON, Memod, adder, fibonacci, numbers

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

    def json(self, path):
        code, body = self.memod.get(path)
        self.assertEqual(code, 200, body)
        return json.loads(body)

    def cache_info(self, query=""):
        return self.json(f"/cache_info{query}")

    def ask(self, method, path, body=None):
        """The status, the headers and the body of any request."""
        connection = http.client.HTTPConnection(self.memod.http_address, timeout=SOON)
        with contextlib.closing(connection):
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

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
            kind = float if name.startswith("compute_seconds") else int
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

    def test_sessions_are_listed_page_by_page(self):
        others = [self.client.open(adder()) for _ in range(4)]
        listed, token = [], ""
        while True:
            page = self.json(f"/sessions?page_size=2&page_token={token}")
            self.assertLessEqual(len(page["sessions"]), 2)
            listed += page["sessions"]
            token = page["next_page_token"]
            if not token:
                break
        ids = [each["session_id"] for each in listed]
        self.assertEqual(ids, sorted(each.id for each in (self.session, *others)))
        self.assertEqual(ids, [each["session_id"] for each in self.json("/sessions")["sessions"]])
        for other in others:
            other.close()
        self.assertEqual(len(self.json("/sessions")["sessions"]), 1)

    def test_session_says_whose_it_is_and_what_it_holds(self):
        for _ in range(3):
            self.session.call(CALCULATE, numbers(1, 2))
        (listed,) = self.json("/sessions")["sessions"]
        self.assertEqual(listed["session_id"], self.session.id)
        self.assertEqual(listed["state_type"], "memo.examples.v1.SlowAdderState")
        self.assertRegex(listed["peer"], r"127\.0\.0\.1:\d+$")
        self.assertIs(type(listed["age"]), float)
        self.assertEqual((listed["total"]["hits"], listed["total"]["misses"]), (2, 1))

    def test_methods_and_how_each_is_remembered(self):
        methods = {each["method"]: each for each in self.json("/methods")["methods"]}
        self.assertEqual(list(methods), sorted(methods))
        self.assertEqual(methods[CALCULATE]["policy"]["max_entries"], 7)
        self.assertIsNone(methods[FIBONACCI]["policy"]["max_entries"])
        self.assertEqual(methods[CALCULATE]["request_type"], "memo.examples.v1.CalculateRequest")

    def test_bad_parameters_are_400_and_say_what_is_allowed(self):
        for path, words in (
            ("/sessions?page_size=many", ("page_size", "many", "0 to 1000")),
            ("/sessions?page_size=-1", ("page_size", "-1", "0 to 1000")),
            ("/sessions?page_size=99999999999", ("page_size", "99999999999", "0 to 1000")),
            ("/sessions?page=2", ('"page"', "page_size", "page_token")),
            ("/methods?x=1", ('"x"', "none")),
            ("/metrics?x=1", ('"x"', "none")),
            ("/?x=1", ('"x"', "page_token")),
        ):
            code, body = self.memod.get(path)
            self.assertEqual(code, 400, path)
            for word in words:
                self.assertIn(word, body)

    def test_no_handle_is_told_anywhere(self):
        for path in ("/", "/cache_info", "/sessions", "/methods", "/metrics"):
            code, body = self.memod.get(path)
            self.assertEqual(code, 200, path)
            self.assertNotIn(self.session.handle, body)

    def test_head_is_get_without_the_body(self):
        for path in ("/", "/cache_info", "/sessions", "/methods", "/metrics", "/livez"):
            code, headers, body = self.ask("HEAD", path)
            self.assertEqual((code, body), (200, b""), path)
            self.assertGreater(int(headers["Content-Length"]), 0)

    def test_other_methods_are_405_and_say_which_are_allowed(self):
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            for path in ("/", "/cache_info", "/metrics", "/livez"):
                code, headers, body = self.ask(method, path, b"x" * 10)
                self.assertEqual(code, 405, (method, path))
                self.assertEqual(headers["Allow"], "GET, HEAD")
                self.assertIn(method, body.decode())

    def test_unknown_path_is_404_and_says_which_there_are(self):
        for path in ("/metricz", "/cache_info/", "/%3Cb%3E", "//", "/page.html"):
            code, body = self.memod.get(path)
            self.assertEqual(code, 404, path)
            for there in ("/cache_info", "/sessions", "/methods", "/metrics", "/livez", "/readyz"):
                self.assertIn(there, body)

    def test_nothing_is_kept_by_browsers_or_taken_for_something_else(self):
        for path, kind in (
            ("/", "text/html; charset=utf-8"),
            ("/page.css", "text/css; charset=utf-8"),
            ("/page.js", "text/javascript; charset=utf-8"),
            ("/icon.svg", "image/svg+xml"),
            ("/sessions", "application/json"),
            ("/nowhere", "text/plain; charset=utf-8"),
        ):
            _, headers, _ = self.ask("GET", path)
            self.assertEqual(headers["Content-Type"], kind)
            self.assertEqual(headers["Cache-Control"], "no-store")
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        _, headers, _ = self.ask("GET", "/")
        self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
        self.assertNotIn("unsafe", headers["Content-Security-Policy"])

    def test_probes(self):
        self.assertEqual(self.memod.get("/livez"), (200, "ok\n"))
        self.assertEqual(self.memod.get("/readyz"), (200, "ok\n"))

    def test_connections_on_which_nothing_comes_hold_up_no_probe(self):
        host, port = self.memod.http_address.split(":")
        with contextlib.ExitStack() as silent:
            for _ in range(12):
                silent.enter_context(socket.create_connection((host, int(port))))
            begin = time.monotonic()
            self.assertEqual(self.memod.get("/livez"), (200, "ok\n"))
            self.assertLess(time.monotonic() - begin, 4)

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
