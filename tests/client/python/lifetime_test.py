"""When a session ends, and how its holder learns of it."""

import gc
import queue
import signal
import threading
import unittest

import grpc
from fixture import MemodTest
from harness import SOON, eventually
from seeds import SlowAdder, adder_state

import memo


class Node:
    """Something to make cycles of."""


class LifetimeTest(MemodTest):
    def check_is_gone(self, session):
        """The session's own calls say so as any call does."""
        with self.assertRaises(grpc.RpcError) as refused:
            session.cache_info()
        self.assertEqual(refused.exception.code(), grpc.StatusCode.NOT_FOUND)
        self.assertEqual(memo.error(refused.exception), "SESSION_NOT_FOUND")

    def test_with_ends_it_before_the_next_line(self):
        with memo.open_session(self.channel, adder_state()) as session:
            self.assertFalse(session.closed)
            self.assertEqual(self.gauges()["sessions"], 1)
        self.assertEqual(self.gauges()["sessions"], 0)
        self.assertTrue(session.closed)
        self.assertIsNone(session.lost)
        self.check_is_gone(session)

    def test_an_exception_within_with_goes_through_and_ends_it(self):
        with self.assertRaisesRegex(ZeroDivisionError, "mine"):
            with memo.open_session(self.channel, adder_state()):
                raise ZeroDivisionError("mine")
        self.assertEqual(self.gauges()["sessions"], 0)

    def test_close_says_what_was_released_and_again_when_called_again(self):
        adder = SlowAdder(self.channel)
        adder.calculate(1)
        adder.calculate(2)
        receipt = adder.session.close()
        self.assertEqual(receipt.entries, 2)
        self.assertGreater(receipt.bytes, 0)
        self.assertEqual(adder.session.close(), receipt)
        self.check_nothing_is_left()
        with self.assertRaises(grpc.RpcError) as refused:
            adder.calculate(1)
        self.assertEqual(memo.error(refused.exception), "SESSION_NOT_FOUND")

    def test_an_object_in_a_cycle_ends_it_when_collected(self):
        gc.disable()
        self.addCleanup(gc.enable)
        node = Node()
        node.adder, node.me = SlowAdder(self.channel), node
        node.adder.calculate(1)
        del node
        self.assertEqual(self.gauges()["sessions"], 1)
        self.check_collected_leaves_nothing()

    def test_callbacks_that_lead_back_to_the_object_do_not_keep_it(self):
        for event in ("on_lost", "on_draining"):
            node = Node()
            node.told = lambda *_, node=node: node
            node.adder = SlowAdder(self.channel, **{event: node.told})
            node.adder.calculate(1)
            del node
            self.check_collected_leaves_nothing()

    def test_a_stub_keeps_it_as_a_bound_method_keeps_self(self):
        calculate = SlowAdder(self.channel).calculate
        self.assertEqual(calculate(1), 1)
        multicallable = calculate.__self__._remote.Calculate
        del calculate
        gc.collect()
        self.assertEqual(self.gauges()["sessions"], 1)
        del multicallable
        self.check_nothing_is_left()

    def test_collected_on_grpcs_own_thread(self):
        gc.disable()
        self.addCleanup(gc.enable)
        busy = SlowAdder(self.channel)
        node = Node()
        node.adder, node.me = SlowAdder(self.channel), node
        del node
        collected = queue.SimpleQueue()
        call = busy.start(1)
        call.add_done_callback(lambda _: collected.put((gc.collect(), threading.current_thread())))
        _, thread = collected.get(timeout=SOON)
        self.assertIsNot(thread, threading.main_thread())
        eventually("one is left", lambda: self.gauges()["sessions"] == 1)
        self.assertEqual(busy.calculate(1), 1)

    def test_collected_in_the_middle_of_anything(self):
        """Sessions in cycles, collected wherever Python likes to, which is everywhere."""
        threshold = gc.get_threshold()
        self.addCleanup(gc.set_threshold, *threshold)
        gc.set_threshold(3, 2, 2)

        def churn():
            for n in range(100):
                node = Node()
                node.adder, node.me = SlowAdder(self.channel), node
                node.adder.start(n).result(timeout=SOON)

        threads = [threading.Thread(target=churn, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(4 * SOON)
            self.assertFalse(thread.is_alive(), "a deadlock")
        gc.set_threshold(*threshold)
        self.check_collected_leaves_nothing()

    def test_an_opening_that_fails_leaves_nothing(self):
        with self.assertRaises(grpc.RpcError) as refused:
            memo.open_session(self.channel, adder_state(delay=-1))
        self.assertEqual(refused.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        del refused
        self.check_collected_leaves_nothing()

    def test_lost_to_an_administrator(self):
        told = queue.SimpleQueue()
        adder = SlowAdder(self.channel, on_lost=told.put)
        self.close_as_administrator(adder.session.id)
        lost = told.get(timeout=SOON)
        self.assertEqual((lost.code, lost.error), (grpc.StatusCode.ABORTED, "SESSION_CLOSED"))
        self.assertEqual(adder.session.lost, lost)
        self.assertTrue(adder.session.closed)
        self.assertIn("lost: ABORTED", repr(adder.session))
        self.check_is_gone(adder.session)
        self.assertIsNone(adder.session.close())

    def test_lost_with_the_server_that_is_killed(self):
        told = queue.SimpleQueue()
        adder = SlowAdder(self.channel, on_lost=told.put, reconnect_timeout=0)
        with adder.session as session:
            self.memod.process.kill()
            self.memod.wait()
            self.assertEqual(told.get(timeout=SOON).code, grpc.StatusCode.UNAVAILABLE)
        self.assertIsNone(session.close())

    def test_a_server_that_stops_tells_so_first(self):
        told = queue.SimpleQueue()
        # A call in flight, so that it drains until we have seen it.
        adder = SlowAdder(
            self.channel,
            delay=3600,
            on_draining=lambda: told.put("draining"),
            on_lost=told.put,
            reconnect_timeout=0,
        )
        quick = SlowAdder(self.channel)
        call = adder.start(1)
        eventually("the call is in flight", lambda: self.gauges()["flights"] == 1)
        self.memod.send(signal.SIGTERM)
        self.assertEqual(told.get(timeout=SOON), "draining")
        self.assertFalse(adder.session.closed)
        self.assertEqual(quick.calculate(1), 1)
        with self.assertRaises(grpc.RpcError) as refused:
            memo.open_session(self.channel, adder_state())
        self.assertEqual(memo.error(refused.exception), "DRAINING")
        call.cancel()
        lost = told.get(timeout=SOON)
        self.assertEqual((lost.code, lost.error), (grpc.StatusCode.UNAVAILABLE, "DRAINING"))
        self.assertEqual(self.memod.wait(), 0)

    def test_on_lost_may_open_the_next(self):
        opened = queue.SimpleQueue()
        first = SlowAdder(self.channel, on_lost=lambda _: opened.put(SlowAdder(self.channel)))
        first.calculate(1)
        self.close_as_administrator(first.session.id)
        second = opened.get(timeout=SOON)
        self.assertEqual(second.how(1), (1, "miss"))

    def test_nothing_is_told_of_what_was_closed(self):
        told = queue.SimpleQueue()
        closed = SlowAdder(self.channel, on_lost=lambda _: told.put("closed"))
        dropped = SlowAdder(self.channel, on_lost=lambda _: told.put("dropped"))
        held = SlowAdder(self.channel, on_lost=lambda _: told.put("held"))
        closed.session.close()
        del dropped
        eventually("one is left", lambda: self.gauges()["sessions"] == 1)
        self.close_as_administrator(held.session.id)
        self.assertEqual(told.get(timeout=SOON), "held")  # one after the other: none before it
        self.assertTrue(told.empty())

    def test_a_callback_that_fails_is_logged_and_holds_nothing_up(self):
        told = queue.SimpleQueue()
        failing = SlowAdder(self.channel, on_lost=lambda _: 1 / 0)
        held = SlowAdder(self.channel, on_lost=told.put)
        with self.assertLogs("memo") as logs:
            for adder in (failing, held):
                self.close_as_administrator(adder.session.id)
            told.get(timeout=SOON)
        self.assertIn("ZeroDivisionError", logs.output[0])

    def test_a_channel_that_its_user_closes_loses_it(self):
        channel = self.new_channel()
        told = queue.SimpleQueue()
        adder = SlowAdder(channel, on_lost=told.put)
        adder.calculate(1)
        channel.close()
        self.assertEqual(told.get(timeout=SOON).code, grpc.StatusCode.CANCELLED)
        self.check_nothing_is_left()

    def test_close_after_that_of_the_channel_raises_nothing(self):
        channels = self.new_channel(), self.new_channel()
        session = memo.open_session(channels[0], adder_state())
        held_elsewhere = memo.open_session(channels[1], adder_state(), hold_on=self.channel)
        with self.assertRaisesRegex(ZeroDivisionError, "mine"):
            with session, held_elsewhere:
                for channel in channels:
                    channel.close()
                raise ZeroDivisionError("mine")
        for each in (session, held_elsewhere):
            self.assertTrue(each.closed)
            self.assertIsNone(each.close())
        self.check_nothing_is_left()

    def test_held_on_another_channel_it_survives_the_calls_channel(self):
        calls = self.new_channel()
        session = memo.open_session(calls, adder_state(), hold_on=self.channel)
        calls.close()
        self.assertEqual(self.gauges()["sessions"], 1)
        self.assertFalse(session.closed)
        del session
        self.check_nothing_is_left()

    def test_no_thread_per_session_unless_it_is_to_be_told_of_draining(self):
        first = memo.open_session(self.channel, adder_state())
        eventually("readers are gone", lambda: self.readers() == 0)
        more = [memo.open_session(self.channel, adder_state()) for _ in range(50)]
        eventually("readers are gone", lambda: self.readers() == 0)
        told = memo.open_session(self.channel, adder_state(), on_draining=print)
        self.assertEqual(self.readers(), 1)
        del first, more, told
        eventually("readers are gone", lambda: self.readers() == 0)

    @staticmethod
    def readers():
        return sum(thread.name == "memo-reader" for thread in threading.enumerate())


if __name__ == "__main__":
    unittest.main()
