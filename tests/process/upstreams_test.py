"""What memod says of the services behind it, wherever one asks, as they come and go."""

import concurrent.futures
import contextlib
import json
import re
import socket
import subprocess
import unittest

import grpc

from harness import ENVIRONMENT, MEMOCTL, SOON, SOURCE_DIR, Memod, eventually

PROMTOOL = SOURCE_DIR / "build/tools/promtool"  # by tests/install-tools
SERVICE = "pricing.v1.Pricer"
QUOTE, BUY, REFUSE = (f"/{SERVICE}/{name}" for name in ("Quote", "Buy", "Refuse"))


class Upstream(grpc.GenericRpcHandler):
    """A service in another language, without .protos: answers with what it is sent."""

    def __init__(self, port=0):
        self.server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)]
        )
        self.server.add_generic_rpc_handlers((self,))
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        self.server.start()

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(
            self.refuse if details.method == REFUSE else lambda request, _: request
        )

    @staticmethod
    def refuse(_, context):
        context.abort(grpc.StatusCode.OUT_OF_RANGE, "no price")

    def stop(self):
        self.server.stop(None).wait(SOON)


def free_port():
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def config(pricing, rest):
    return f"""
[[upstream]]
name = "pricing"
target = "127.0.0.1:{pricing}"
services = ["{SERVICE}"]
channels = 2
  [[upstream.method]]
  name = "{QUOTE}"
  scope = "server"
  public = true
[[upstream]]
name = "rest"
target = "127.0.0.1:{rest}"
"""


class UpstreamsTest(unittest.TestCase):
    def setUp(self):
        self.upstream = Upstream()
        self.addCleanup(lambda: self.upstream.stop())
        self.memod = self.enterContext(Memod(config=config(self.upstream.port, free_port())))
        self.client = self.enterContext(self.memod.client())
        self.admin = self.enterContext(self.memod.admin())
        self.wait_for(True)

    def infos(self):
        listed = self.admin.call("/memo.v1.AdminService/ListUpstreams").upstreams
        return {info.name: info for info in listed}

    def wait_for(self, connected):
        eventually(
            f"connected is {connected}", lambda: self.infos()["pricing"].connected == connected
        )

    def call(self, method, request=b"7"):
        return self.client.channel.unary_unary(method)(request, timeout=SOON)

    def code(self, method):
        with self.assertRaises(grpc.RpcError) as raised:
            self.call(method)
        return raised.exception.code(), raised.exception.details()

    def metrics(self):
        code, text = self.memod.get("/metrics")
        self.assertEqual(code, 200)
        found = re.findall(r'^memod_upstream_(\w+)\{upstream="(\w+)"\} (\S+)$', text, re.M)
        return {(name, upstream): float(value) for name, upstream, value in found}

    def memoctl(self, *arguments):
        return subprocess.run(
            [MEMOCTL, "--admin", self.memod.admin_address, *arguments],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=SOON,
            check=True,
        ).stdout

    def restart_upstream(self):
        self.upstream = Upstream(self.upstream.port)

    def test_state_calls_and_errors_are_told(self):
        self.call(QUOTE)  # a computation
        self.call(QUOTE)  # a hit, of which the upstream knows nothing
        self.call(BUY)  # passes
        self.assertEqual(self.code(REFUSE), (grpc.StatusCode.OUT_OF_RANGE, "no price"))
        pricing, rest = self.infos()["pricing"], self.infos()["rest"]
        self.assertEqual(list(self.infos()), ["pricing", "rest"])
        self.assertEqual(pricing.target, f"127.0.0.1:{self.upstream.port}")
        self.assertEqual((list(pricing.services), list(rest.services)), ([SERVICE], []))
        self.assertEqual((pricing.connected, pricing.calls, pricing.errors), (True, 3, 1))
        self.assertEqual((rest.connected, rest.calls, rest.errors), (False, 0, 0))

    def test_a_method_says_which_upstream_computes_it(self):
        methods = self.admin.call("/memo.v1.AdminService/ListMethods").methods
        upstreams = {method.method: method.upstream for method in methods}
        self.assertEqual(upstreams.pop(QUOTE), "pricing")
        self.assertEqual(set(upstreams.values()), {""})
        self.assertRegex(self.memoctl("methods"), rf"(?m)^{QUOTE} .* pricing$")

    def test_age_of_a_state_begins_with_the_state(self):
        def age(info):
            return info.state_age.ToNanoseconds()

        before = age(self.infos()["pricing"])
        self.assertGreater(age(self.infos()["pricing"]), before)
        self.upstream.stop()
        self.wait_for(False)
        self.assertLess(age(self.infos()["pricing"]), age(self.infos()["rest"]))

    def test_upstream_that_goes_and_comes_back_is_noticed_without_a_call(self):
        for _ in range(2):
            self.upstream.stop()
            self.wait_for(False)
            self.restart_upstream()
            self.wait_for(True)
        self.assertEqual(self.infos()["pricing"].calls, 0)
        self.assertEqual(self.call(QUOTE), b"7")

    def test_memod_is_ready_without_its_upstreams_and_says_so(self):
        self.call(QUOTE)
        self.upstream.stop()
        self.wait_for(False)
        code, text = self.memod.get("/readyz")
        self.assertEqual(code, 200)
        self.assertRegex(
            text,
            r"\Aok\nupstream pricing: not connected for \d+ s\n"
            r"upstream rest: not connected for \d+ s\n\Z",
        )
        self.assertEqual(self.call(QUOTE), b"7")  # what is remembered
        code, why = self.code(BUY)
        self.assertEqual(code, grpc.StatusCode.UNAVAILABLE)
        self.assertIn("upstream pricing", why)
        self.restart_upstream()
        self.wait_for(True)
        self.assertRegex(self.memod.get("/readyz")[1], r"(?m)^upstream pricing: connected for \d+ s$")

    def test_health_of_a_service_is_that_of_its_upstream(self):
        def health():
            return [self.client.health(service) for service in (SERVICE, "rest", "")]

        self.assertEqual(health(), ["SERVING", "NOT_SERVING", "SERVING"])
        self.upstream.stop()
        eventually("not serving", lambda: health() == ["NOT_SERVING", "NOT_SERVING", "SERVING"])
        self.restart_upstream()
        eventually("serving", lambda: health() == ["SERVING", "NOT_SERVING", "SERVING"])

    def test_metrics_and_what_promtool_says_of_them(self):
        self.call(QUOTE)
        self.code(REFUSE)
        self.assertEqual(
            self.metrics(),
            {
                ("connected", "pricing"): 1,
                ("calls_total", "pricing"): 2,
                ("errors_total", "pricing"): 1,
                ("calls_in_flight", "pricing"): 0,
                ("connected", "rest"): 0,
                ("calls_in_flight", "rest"): 0,
                ("calls_total", "rest"): 0,
                ("errors_total", "rest"): 0,
            },
        )
        done = subprocess.run(
            [PROMTOOL, "check", "metrics"],
            input=self.memod.get("/metrics")[1],
            capture_output=True,
            text=True,
            timeout=SOON,
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        self.upstream.stop()
        eventually("0", lambda: self.metrics()["connected", "pricing"] == 0)

    def test_memoctl_lists_them_as_a_table_and_as_json(self):
        self.call(BUY)
        title, pricing, rest = self.memoctl("upstreams").splitlines()
        self.assertEqual(
            title.split(), "UPSTREAM TARGET CONNECTED FOR CALLS ERRORS SERVICES".split()
        )
        where = re.escape(f"127.0.0.1:{self.upstream.port}")
        self.assertRegex(pricing, rf"^pricing +{where} +yes +\S+ +1 +0  {SERVICE}$")
        self.assertRegex(rest, r"^rest +\S+ +no +\S+ +0 +0  \(all others\)$")
        listed = json.loads(self.memoctl("upstreams", "-o", "json"))["upstreams"]
        self.assertIs(type(listed[0].pop("state_age")), float)
        self.assertEqual(
            listed[0],
            {
                "name": "pricing",
                "target": f"127.0.0.1:{self.upstream.port}",
                "services": [SERVICE],
                "connected": True,
                "calls": 1,
                "errors": 0,
                "calls_in_flight": 0,
            },
        )
        code, body = self.memod.get("/upstreams")
        self.assertEqual((code, json.loads(body)["upstreams"][0]["name"]), (200, "pricing"))

    def test_page_shows_them_if_there_are_any(self):
        page = self.memod.get("/")[1]
        row = re.search(r'(?s)<tr data-key="pricing">.*?</tr>', page)[0]
        self.assertIn(f"127.0.0.1:{self.upstream.port}", row)
        self.assertIn(">connected<", row)
        self.assertIn("not connected", re.search(r'(?s)<tr data-key="rest">.*?</tr>', page)[0])
        with Memod() as alone:
            self.assertNotIn("pstream", alone.get("/")[1])
            self.assertNotIn("upstream", alone.get("/metrics")[1])
            self.assertEqual(alone.get("/readyz"), (200, "ok\n"))


if __name__ == "__main__":
    unittest.main()
