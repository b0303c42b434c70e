"""Updates of a session's state whose answers are lost."""

import concurrent.futures
import gc
import time
import unittest

import grpc
from fixture import RelayedTest
from harness import SOON, Memod, eventually
from memo.v1 import session_pb2
from recorder import RecordedTest, Recorder
from seeds import adder_state

import memo

SLOW = 0.2  # seconds


class UpdateTest(RelayedTest):
    def update(self, adder):
        """Begins an update, whose answer does not come, and returns when the server has made it."""
        self.assertEqual(adder.how(1), (1, "miss"))
        self.relay.mute()
        threads = self.enterContext(concurrent.futures.ThreadPoolExecutor(1))
        updated = threads.submit(adder.session.update_state, adder_state(delay=SLOW))
        eventually("it is made", lambda: self.gauges()["entries"] == 0)
        return updated

    def check_slow(self, adder, number):
        begin = time.monotonic()
        self.assertEqual(adder.how(number), (number, "miss"))
        self.assertGreater(time.monotonic() - begin, SLOW)

    def test_it_is_made_again_on_the_session_that_is_resumed(self):
        self.serve("--session.resume_window=1h")
        adder = self.open()
        updated = self.update(adder)
        self.relay.cut()
        updated.result(SOON)
        self.check_told("resumed")
        self.check_slow(adder, 1)
        # What it is opened with when it is opened anew:
        self.memod.process.kill()
        self.memod.wait()
        self.memod = self.enterContext(Memod(f"--server.listen={self.memod.address}"))
        self.check_told("reopened")
        self.check_slow(adder, 2)

    def test_it_is_made_again_on_the_session_that_is_opened_anew(self):
        gc.disable()
        self.addCleanup(gc.enable)
        self.serve()
        adder = self.open()
        updated = self.update(adder)
        self.relay.cut()
        updated.result(SOON)
        self.check_told("reopened")
        self.check_slow(adder, 1)
        del adder  # that an answer was lost does not keep it
        self.check_nothing_is_left()

    def test_if_it_cannot_be_made_again_in_time_its_error_is_raised(self):
        self.serve()
        adder = self.open(timeout=1, reconnect_timeout=SOON)
        updated = self.update(adder)
        self.relay.down()
        failed = updated.exception(SOON)
        self.assertEqual(failed.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertFalse(adder.session.closed)

    def test_if_the_session_is_not_reconnected_its_error_is_raised(self):
        self.serve()
        adder = self.open(reconnect_timeout=0)
        updated = self.update(adder)
        self.relay.cut()
        self.assertEqual(updated.exception(SOON).code(), grpc.StatusCode.UNAVAILABLE)

    def test_if_the_channel_is_closed_its_error_is_raised(self):
        self.serve()
        updated = self.update(self.open())
        self.far.close()
        self.assertEqual(updated.exception(SOON).code(), grpc.StatusCode.CANCELLED)


class Refusing(Recorder):
    """Answers each UpdateState with the next of `refusals`, a code and a memo-error, if any."""

    def __init__(self):
        super().__init__()
        self.refusals = []

    def UpdateState(self, request, context):  # noqa: N802
        if not self.refusals:
            return session_pb2.UpdateStateResponse()
        code, error = self.refusals.pop(0)
        context.set_trailing_metadata([("memo-error", error)] if error else [])
        context.abort(code, "refused")


class RefusedUpdateTest(RecordedTest):
    make_recorder = Refusing

    def check_refused(self, times, code, error=None):
        session = memo.open_session(self.channel)
        self.recorder.refusals = [(code, error)] * 9
        with self.assertRaises(grpc.RpcError) as refused:
            session.update_state(None)
        self.assertEqual((refused.exception.code(), refused.exception.details()), (code, "refused"))
        self.assertEqual(len(self.recorder.refusals), 9 - times)

    def test_what_the_server_says_of_itself_is_raised(self):
        self.check_refused(1, grpc.StatusCode.UNAVAILABLE, "UPSTREAM")
        self.check_refused(1, grpc.StatusCode.INVALID_ARGUMENT)

    def test_what_may_be_a_loss_is_raised_when_the_server_says_it_again(self):
        self.check_refused(2, grpc.StatusCode.UNAVAILABLE)
        self.check_refused(2, grpc.StatusCode.CANCELLED)


if __name__ == "__main__":
    unittest.main()
