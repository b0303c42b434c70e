"""A process that holds a session, and ends as it is told: holder.py ADDRESS HOW."""

import gc
import os
import sys
import threading

import grpc
from seeds import SlowAdder

import memo


def in_fork(do):
    """Runs `do` in a forked child that then ends as any Python program; waits for it."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        do()
        sys.exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, status


class Holder:
    def __init__(self, address):
        self.address = address
        self.channel = grpc.insecure_channel(address, memo.KEEPALIVE)
        self.adder = SlowAdder(self.channel)
        self.adder.calculate(1)
        self.itself = self  # so that it is the garbage collector's to find
        print(self.adder.session.id, flush=True)

    def end_of_the_program(self):
        pass

    def sys_exit(self):
        sys.exit(0)

    def drops_and_ends(self):
        del self.adder
        gc.collect()

    def ends_when_told(self):
        sys.stdin.read()

    def closes_the_channel_and_ends(self):
        self.channel.close()

    def killed(self):
        sys.stdin.read()

    def fork_that_ends(self):
        in_fork(lambda: None)
        self.check_still_there()

    def fork_that_drops(self):
        def drop():
            del self.adder
            gc.collect()

        in_fork(drop)
        self.check_still_there()

    def fork_that_closes(self):
        def close():
            with self.adder.session:
                pass
            assert self.adder.session.close() is None

        in_fork(close)
        self.check_still_there()

    def fork_that_calls(self):
        def call():
            for do in (self.adder.session.cache_info, lambda: self.adder.calculate(1)):
                try:
                    do()
                except RuntimeError as error:
                    assert "belongs to process" in str(error), error
                else:
                    raise AssertionError("the fork could call")

        in_fork(call)
        self.check_still_there()

    def fork_with_a_session_of_its_own(self):
        def own():
            with grpc.insecure_channel(self.address, memo.OWN_CONNECTION) as channel:
                adder = SlowAdder(channel)
                assert adder.how(1) == (1, "miss")
                del self.adder
                gc.collect()
                assert adder.session.close().entries == 1

        in_fork(own)
        self.check_still_there()

    def fork_that_releases_what_it_drops(self):
        def drop():
            # As opening a session in the fork would do.
            memo._session._releases.start()
            del self.adder
            gc.collect()
            released = threading.Event()
            memo._session._releases.put(released.set)
            released.wait()

        in_fork(drop)
        self.check_still_there()

    def fork_that_drops_a_call(self):
        slow = SlowAdder(self.channel, delay=0.3)
        self.call = slow.start(1)

        def drop():
            del self.call
            gc.collect()
            # As making a call again in the fork would do.
            memo._retry._timer.start()
            dropped = threading.Event()
            memo._retry._timer.put(dropped.set)
            dropped.wait()

        in_fork(drop)
        assert self.call.result().sum == 1
        del slow, self.call
        self.check_still_there()

    def check_still_there(self):
        assert self.adder.session.lost is None
        assert self.adder.how(1) == (1, "hit")


if __name__ == "__main__":
    address, how = sys.argv[1:]
    getattr(Holder(address), how)()
