"""What a session sends, and what it answers."""

import concurrent.futures
import unittest

import grpc
from fixture import MemodTest
from harness import SOON
from memo.examples.v1 import slow_adder_pb2
from memo.v1 import session_pb2
from recorder import RecordedTest
from seeds import CALCULATE, SlowAdder, adder_state

import memo


class SessionTest(MemodTest):
    def test_secrets_are_not_shown(self):
        session = memo.open_session(self.channel, adder_state())
        self.assertEqual(repr(session), f"<memo.Session {session.id} open>")
        self.assertNotIn(session.handle, repr(vars(session.channel)))
        session.close()
        self.assertEqual(repr(session), f"<memo.Session {session.id} closed>")

    def test_a_session_without_an_instance(self):
        with memo.open_session(self.channel) as session:
            self.assertEqual(self.gauges()["instances"], 0)
            session.update_state(adder_state())
            self.assertEqual(self.gauges()["instances"], 1)

    def test_a_packed_state_is_sent_as_it_is(self):
        request = session_pb2.OpenSessionRequest()
        request.state.Pack(adder_state())
        with memo.open_session(self.channel, request.state):
            self.assertEqual(self.gauges()["instances"], 1)

    def test_a_state_that_is_refused_leaves_the_session_as_it_was(self):
        adder = SlowAdder(self.channel)
        adder.calculate(1)
        with self.assertRaises(grpc.RpcError) as refused:
            adder.session.update_state(adder_state(delay=-1))
        self.assertEqual(refused.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual(adder.how(1), (1, "hit"))

    def test_clear_of_one_method_and_of_all(self):
        adder = SlowAdder(self.channel)
        adder.calculate(1)
        self.assertEqual(adder.session.clear("/memo.examples.v1.SlowAdder/Fibonacci").entries, 0)
        self.assertEqual(adder.session.clear(CALCULATE).entries, 1)
        adder.calculate(1)
        self.assertEqual(adder.session.clear().entries, 1)
        self.assertEqual(adder.how(1), (1, "miss"))

    def test_forget_drops_one_entry_and_says_what(self):
        adder = SlowAdder(self.channel)
        adder.calculate(1)
        adder.calculate(2)
        request = slow_adder_pb2.CalculateRequest(numbers=(0, 1))
        self.assertEqual(adder.session.forget(CALCULATE, request).entries, 1)
        self.assertEqual(adder.session.forget(CALCULATE, request).entries, 0)
        self.assertEqual(adder.how(2), (2, "hit"))
        self.assertEqual(adder.how(1), (1, "miss"))

    def test_cache_info_before_the_first_call_and_of_what_is_no_method(self):
        session = memo.open_session(self.channel, adder_state())
        self.assertEqual(session.cache_info(CALCULATE), (0, 0, 128) + (0,) * 10)
        self.assertIsNone(session.cache_info().maxsize)
        with self.assertRaises(grpc.RpcError) as refused:
            session.cache_info("/memo.examples.v1.SlowAdder/None")
        self.assertEqual(refused.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_control_and_what_an_answer_says_of_itself(self):
        adder = SlowAdder(self.channel)
        with self.assertRaises(grpc.RpcError) as refused:
            adder.how(1, control="only-if-cached")
        self.assertEqual(memo.error(refused.exception), "NOT_CACHED")
        self.assertEqual(adder.how(1, control="no-store"), (1, "miss"))
        self.assertEqual(adder.how(1), (1, "miss"))
        self.assertEqual(adder.how(1, control="bypass"), (1, "bypass"))
        self.assertEqual(adder.how(1, control="refresh"), (1, "miss"))
        self.assertEqual(adder.how(1, control="only-if-cached"), (1, "hit"))
        hit = adder.start(1)
        hit.result(timeout=SOON)
        self.assertEqual(memo.cache_status(hit), "hit")
        self.assertGreaterEqual(memo.age(hit), 0)

    def test_an_error_of_the_application_is_none_of_memods(self):
        adder = SlowAdder(self.channel, constant=2**63 - 1)
        with self.assertRaises(grpc.RpcError) as refused:
            adder.calculate(1)
        self.assertEqual(refused.exception.code(), grpc.StatusCode.OUT_OF_RANGE)
        self.assertIsNone(memo.error(refused.exception))


def echo_handler(details):
    """Of any kind of call, by the kind's name in the path: answers with the session's handle."""

    def answer(context):
        return dict(context.invocation_metadata())["memo-session"].encode()

    def one(_, context):
        return answer(context)

    def many(_, context):
        yield answer(context)

    handlers = {
        "unary_unary": lambda: grpc.unary_unary_rpc_method_handler(one),
        "unary_stream": lambda: grpc.unary_stream_rpc_method_handler(many),
        "stream_unary": lambda: grpc.stream_unary_rpc_method_handler(one),
        "stream_stream": lambda: grpc.stream_stream_rpc_method_handler(many),
    }
    service, kind = details.method[1:].split("/")
    return handlers[kind]() if service == "echo" else None


class EchoHandler(grpc.GenericRpcHandler):
    def service(self, details):
        return echo_handler(details)


class RecordedSessionTest(RecordedTest):
    handlers = (EchoHandler(),)

    def test_the_handle_goes_with_every_kind_of_call(self):
        channel = memo.open_session(self.channel).channel
        calls = {
            "unary_unary": lambda make: [make(b"")],
            "unary_stream": lambda make: list(make(b"")),
            "stream_unary": lambda make: [make(iter([b""]))],
            "stream_stream": lambda make: list(make(iter([b""]))),
        }
        for kind, call in calls.items():
            with self.subTest(kind):
                self.assertEqual(call(getattr(channel, kind)(f"/echo/{kind}")), [b"secret"])

    def test_metadata_of_the_opening_is_sent_with_it(self):
        with memo.open_session(self.channel, metadata=[("authorization", "Bearer x")]):
            self.assertEqual(self.recorder.opening_metadata["authorization"], "Bearer x")

    def test_forget_names_the_call_by_its_method_bytes_and_metadata(self):
        state = adder_state(delay=1)  # a message like any other
        session = memo.open_session(self.channel)
        receipt = session.forget(CALCULATE, state, metadata=[("x-tenant", "a")])
        self.assertEqual(receipt, (1, 2, 0.0))
        request, metadata = self.recorder.forgotten
        self.assertEqual((request.method, request.request), (CALCULATE, state.SerializeToString()))
        self.assertEqual((metadata["memo-session"], metadata["x-tenant"]), ("secret", "a"))

    def test_an_opening_that_takes_too_long_is_given_up(self):
        self.recorder.opens.clear()
        with self.assertRaisesRegex(TimeoutError, "did not open the session within 0.1 s"):
            memo.open_session(self.channel, timeout=0.1)
        self.assertTrue(self.recorder.ended.wait(SOON))

    def test_calls_of_other_threads_close_it_once(self):
        session = memo.open_session(self.channel)
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            for closing in [threads.submit(session.close) for _ in range(8)]:
                self.assertIsNone(closing.result(SOON))  # the recorder cannot CloseSession
        self.assertTrue(self.recorder.ended.wait(SOON))


if __name__ == "__main__":
    unittest.main()
