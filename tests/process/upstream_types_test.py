"""Methods of upstreams whose messages memod knows, by reflection or from a descriptor set: keys of
what requests decode to, and methods that are memoized for what they say of themselves."""

import contextlib
import os
import pathlib
import subprocess
import tempfile
import unittest

import pricing_pb2
from fake_reflection import LABEL_REPEATED, FakeReflection, service_file
from harness import ENVIRONMENT, MEMOCTL, SOON, Memod, metadata_of
from upstream_reflection_test import pricing_server
from upstreams_test import free_port

PRICER = "/pricing.v1.Pricer"
QUOTE, HISTORY, BUY = (f"{PRICER}/{name}" for name in ("Quote", "History", "Buy"))
SET = os.environ["PRICING_SET"]


def upstream(port, keys="", method=""):
    return f"""
[[upstream]]
name = "pricing"
target = "127.0.0.1:{port}"
services = ["pricing.v1.Pricer"]
{keys}
{method}
"""


def quote(policy):
    shared = 'scope = "server"\npublic = true'
    return f'[[upstream.method]]\nname = "{QUOTE}"\n{shared}\n{policy}'


BY_MESSAGE = quote('key.ignore = ["options.trace_id"]')


def request(symbol, trace="", digits=0, labels=()):
    options = pricing_pb2.Options(trace_id=trace, digits=digits)
    return pricing_pb2.QuoteRequest(symbol=symbol, options=options, labels=dict(labels))


def label(name):
    """A map's entry as it goes over the wire."""
    entry = b"\n" + bytes([len(name)]) + name + b"\x12\x01x"
    return b"\x12" + bytes([len(entry)]) + entry


class UpstreamTypesTest(unittest.TestCase):
    def serve(self, config, *flags):
        self.memod = self.enterContext(Memod(*flags, config=config))
        self.client = self.enterContext(self.memod.client())
        self.admin = self.enterContext(self.memod.admin())

    def pricing(self):
        return self.enterContext(pricing_server())

    def start(self, method, message):
        if not isinstance(message, bytes):
            message = message.SerializeToString()
        return self.client.channel.unary_unary(method).with_call(message, timeout=SOON)

    def cached(self, method, message):
        """How the answer came; None: memod has nothing to do with it."""
        _, call = self.start(method, message)
        return metadata_of(call).get("memo-cache")

    def refused(self, config, code):
        """What a memod that does not start says."""
        with Memod(config=config, serving=False) as memod:
            self.assertEqual(memod.wait(), code, memod.stderr())
            return memod.stderr()

    def check_keys(self):
        self.assertEqual(self.cached(QUOTE, request("X", trace="1")), "miss")
        self.assertEqual(self.cached(QUOTE, request("X", trace="2")), "hit")
        self.assertEqual(self.cached(QUOTE, request("X", trace="2", digits=3)), "miss")
        self.assertEqual(self.cached(QUOTE, b"\n\x01L" + label(b"a") + label(b"b")), "miss")
        self.assertEqual(self.cached(QUOTE, label(b"b") + b"\n\x01L" + label(b"a")), "hit")
        # The upstream may know more fields than memod does.
        for unknown in (b"\x78\x01", b"\x78\x02"):
            newer = request("X", "1").SerializeToString() + unknown
            self.assertEqual(self.cached(QUOTE, newer), "miss")

    def test_keys_of_messages_by_reflection(self):
        self.serve(upstream(self.pricing(), method=BY_MESSAGE))
        self.check_keys()

    def test_keys_of_messages_by_a_descriptor_set(self):
        self.serve(upstream(self.pricing(), f'descriptor_set = "{SET}"', BY_MESSAGE))
        self.check_keys()

    def test_with_a_descriptor_set_memod_starts_without_its_upstream(self):
        self.serve(upstream(free_port(), f'descriptor_set = "{SET}"', BY_MESSAGE))
        methods = self.admin.call("/memo.v1.AdminService/ListMethods").methods
        (listed,) = [method for method in methods if method.method == QUOTE]
        self.assertEqual(listed.request_type, "pricing.v1.QuoteRequest")
        self.assertEqual(listed.response_type, "pricing.v1.QuoteResponse")
        self.assertEqual(listed.policy.key_mode, "message")

    def test_memod_waits_for_an_upstream_that_is_late(self):
        port = free_port()
        config = upstream(port, method=BY_MESSAGE)
        with Memod(config=config, serving=False) as memod, pricing_server(port):
            memod.wait_for_log("serving")

    def test_memod_that_waits_for_an_upstream_stops_when_told_to(self):
        mute = FakeReflection([], says=b"")
        self.addCleanup(mute.close)
        memod = Memod(config=upstream(mute.port, method=BY_MESSAGE), serving=False)
        with memod:
            self.assertTrue(mute.asked.wait(SOON))
            memod.send()
            self.assertEqual(memod.wait(5), 0)  # well below the 10 s that it would wait
            self.assertEqual([line["message"] for line in memod.log("stopping")], ["stopping"])

    def test_without_descriptors_memod_does_not_start_and_says_what_helps(self):
        mute = FakeReflection([], version="none")
        self.addCleanup(mute.close)
        keys = "memoize_no_side_effects = true"
        for port, why in ((mute.port, ""), (free_port(), "not connected")):
            for more in ({"method": BY_MESSAGE},) + (({"keys": keys},) if not why else ()):
                said = self.refused(upstream(port, **more), 1)
                for word in ("memod.toml:2", "pricing", str(port), "descriptor_set", why):
                    self.assertIn(word, said)

    def test_a_path_that_leads_nowhere_stops_the_start(self):
        typo = quote('key.ignore = ["options.trce_id"]')
        for keys in ("", f'descriptor_set = "{SET}"'):
            said = self.refused(upstream(self.pricing(), keys, typo), 2)
            self.assertIn(QUOTE, said)
            self.assertIn('"options.trce_id": pricing.v1.Options has no field "trce_id"', said)
            self.assertIn("did you mean trace_id?", said)

    def test_methods_that_are_not_there_or_not_unary_stop_the_start(self):
        for name, want in (("Qote", "no method"), ("Stream", "want a unary method")):
            method = quote("").replace(QUOTE, f"{PRICER}/{name}")
            said = self.refused(upstream(free_port(), f'descriptor_set = "{SET}"', method), 2)
            self.assertIn(f"{PRICER}/{name}", said)
            self.assertIn(want, said)

    def test_check_config_looks_into_descriptor_sets_and_asks_nobody(self):
        with tempfile.TemporaryDirectory() as folder:
            text = pathlib.Path(folder, "text.binpb")
            text.write_text("this is no descriptor set")
            typo = quote('key.ignore = ["nothing"]')
            for path, method, code, word in (
                (SET, BY_MESSAGE, 0, "fine"),
                (SET, typo, 2, "nothing"),
                (text, BY_MESSAGE, 2, "not a FileDescriptorSet"),
                (f"{folder}/none", BY_MESSAGE, 2, "No such file"),
                (folder, BY_MESSAGE, 2, folder),
            ):
                config = pathlib.Path(folder, "memod.toml")
                config.write_text(upstream(free_port(), f'descriptor_set = "{path}"', method))
                done = subprocess.run(
                    [os.environ["MEMOD"], "--check-config", config],
                    env=ENVIRONMENT,
                    capture_output=True,
                    text=True,
                    timeout=SOON,
                )
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(word, done.stdout + done.stderr)

    def test_methods_without_side_effects_are_memoized_without_being_listed(self):
        keys = "memoize_no_side_effects = true"
        for more in ("", f'\ndescriptor_set = "{SET}"'):
            defaults = '[upstream.defaults]\nscope = "server"\npublic = true\nttl = "1h"\n'
            listed = f'[[upstream.method]]\nname = "{HISTORY}"\nttl = "2h"\n'
            self.serve(upstream(self.pricing(), keys + more, defaults + listed))
            methods = self.admin.call("/memo.v1.AdminService/ListMethods").methods
            hours = {
                method.method: method.policy.ttl.seconds // 3600
                for method in methods
                if method.upstream == "pricing"
            }
            self.assertEqual(hours, {QUOTE: 1, HISTORY: 2})
            for method in (QUOTE, HISTORY):
                self.assertEqual(self.cached(method, request("X")), "miss")
                self.assertEqual(self.cached(method, request("X")), "hit")
            self.assertIsNone(self.cached(BUY, request("X")))

    def test_without_defaults_they_are_each_sessions_own(self):
        self.serve(upstream(self.pricing(), "memoize_no_side_effects = true"))
        self.assertEqual(self.cached(QUOTE, request("X")), None)  # passes without a session
        session = self.client.open()
        handle = [("memo-session", session.handle)]
        call = self.client.channel.unary_unary(QUOTE)
        for cached in ("miss", "hit"):
            _, done = call.with_call(request("X").SerializeToString(), metadata=handle)
            self.assertEqual(metadata_of(done)["memo-cache"], cached)

    def test_keys_are_bytes_while_an_upstream_says_that_its_messages_are_others(self):
        def talk(port=0, repeated=False):
            file = service_file("a.proto", "a", "Talk")
            if repeated:
                file.message_type[0].field[0].label = LABEL_REPEATED
            return self.enterContext(contextlib.closing(FakeReflection([file], port=port)))

        keys = 'scope = "server"\npublic = true\nkey.mode = "message"'
        before = talk()
        self.serve(
            f'[[upstream]]\nname = "up"\ntarget = "127.0.0.1:{before.port}"\n'
            f'[[upstream.method]]\nname = "/a.Talk/Say"\n{keys}'
        )
        both, last = b"\n\x01x\n\x01y", b"\n\x01y"
        self.assertEqual(self.cached("/a.Talk/Say", both), "miss")
        self.assertEqual(self.cached("/a.Talk/Say", last), "hit")  # one text: the last counts
        before.close()
        after = talk(before.port, repeated=True)
        self.memod.wait_for_log(
            "upstream's messages have changed, keys are bytes until memod is started anew",
            upstream="up",
            method="/a.Talk/Say",
        )
        for cached in ("miss", "hit"):
            self.assertEqual(self.cached("/a.Talk/Say", both), cached)
            self.assertEqual(self.cached("/a.Talk/Say", last), cached)
        after.close()
        talk(before.port)
        self.memod.wait_for_log("upstream's messages are as before, and keys are messages again")
        self.assertEqual(self.cached("/a.Talk/Say", b"\n\x01z\n\x01y"), "hit")

    def test_explain_reads_an_upstreams_messages(self):
        self.serve(upstream(self.pricing(), method=BY_MESSAGE))
        self.cached(QUOTE, request("X", trace="1"))
        said = subprocess.run(
            [MEMOCTL, "--admin", self.memod.admin_address, "--server", self.memod.address]
            + ["explain", QUOTE, '{"symbol": "X", "options": {"trace_id": "9"}}']
            + ['{"symbol": "Y"}'],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=SOON,
        )
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertIn('symbol: "X"', said.stdout)
        self.assertIn("options.trace_id", said.stdout)
        self.assertIn('symbol: "X" vs "Y"', said.stdout)


if __name__ == "__main__":
    unittest.main()
