"""Unary calls that are made again while their session moves to another connection or server.

A call is made again only if its answer says that no computation can have begun. Whether to make any
other again is its user's to say.
"""

import functools
import logging
import math
import os
import random
import threading
import time
import weakref
from typing import Any, Callable, List, NamedTuple, Optional, Set

import grpc

from memo import _metadata
from memo._hold import Hold
from memo._worker import Timer, Worker

_SHORTEST, _LONGEST = 0.02, 0.5  # pauses, in seconds
_STOPS = "DRAINING"

_log = logging.getLogger("memo")
# Runs none of the user's code, so it is never held up; but for interceptors of a channel that he gave.
_timer = Timer("memo-retries")
_callbacks = Worker("memo-callbacks")
_kept: "Set[Call]" = set()

# Begins an attempt with this timeout and handle, and gives what gRPC's `future` does.
Begin = Callable[[Optional[float], str], Any]


def never_begun(call: Any) -> bool:
    """Whether a call failed so that no computation of it can have begun, nor will.

    So says a server that does not know its session, or that stops and dropped it. An UNAVAILABLE
    says so where gRPC had no connection for the call: then its details are the error itself. What
    came over a connection, the server's own UNAVAILABLE or the connection's loss, is an "Error
    received from peer" that has the details as an attribute. That was seen with gRPC 1.51 and
    servers killed under load; where a version words it otherwise, nothing is made again.
    """
    code = call.code() if isinstance(call, grpc.Call) else None
    if code is grpc.StatusCode.NOT_FOUND:
        return _metadata.error(call) == "SESSION_NOT_FOUND"
    if code is not grpc.StatusCode.UNAVAILABLE:
        return False
    if _metadata.error(call) == _STOPS:
        return True
    text = getattr(call, "debug_error_string", str)()
    itself = text.partition(":")[2].startswith(call.details() or "no details")
    return itself and "Error received from peer" not in text


def is_unanswered(call: Any) -> bool:
    """Whether a call failed so that nothing is known of its computation, but not by its deadline."""
    code = call.code() if isinstance(call, grpc.Call) else None
    lost = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    return lost and _metadata.error(call) is None and not never_begun(call)


def deadline_of(timeout: Optional[float]) -> float:
    """By time.monotonic."""
    return math.inf if timeout is None else time.monotonic() + timeout


class Pauses:
    """Of a call that is made again and again, until when."""

    def __init__(self, hold: Hold, deadline: float) -> None:
        """deadline: by time.monotonic."""
        self._hold = hold
        self._deadline = deadline
        self._patience = 0.0  # until when it is made again
        self._count = 0
        self._left = ""  # the handle on a server that stops

    def failed(self, call: Any, handle: str) -> None:
        """The last attempt, with this handle, was never begun."""
        if _metadata.error(call) == _STOPS:
            self._left = handle

    def next(self) -> float:
        """When to look again, by time.monotonic."""
        now = time.monotonic()
        if self._count == 0:
            self._patience = now + self._hold.reconnect_timeout
        longest = min(_LONGEST, _SHORTEST * 2 ** min(self._count, 10))
        self._count += 1
        due = now + random.uniform(longest / 2, longest)
        return min(due, self._deadline, self._patience)

    def wait(self) -> bool:
        """Blocks until the session can be called, or the deadline is over. False: not in time."""
        self._hold.check()
        while True:
            self._hold.released.wait(self.next() - time.monotonic())
            if self.over:
                return True
            if self.in_vain:
                return False
            if self.held:
                return True

    @property
    def held(self) -> bool:
        """Whether the session is held, and not where its server stops."""
        return self._hold.held and self._hold.opened.handle != self._left

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._deadline

    @property
    def in_vain(self) -> bool:
        return time.monotonic() >= self._patience or not self._hold.reconnects

    @property
    def left(self) -> Optional[float]:
        """The timeout of an attempt."""
        return None if self._deadline == math.inf else max(0.0, self._deadline - time.monotonic())


def deadline_exceeded(last: Any) -> "End":
    why = f"Deadline Exceeded; the call was not begun: {last.code().name}: {last.details()}"
    return End(grpc.StatusCode.DEADLINE_EXCEEDED, why)


class End(grpc.RpcError):
    """How a call ended between two attempts."""

    def __init__(self, status: grpc.StatusCode, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text

    def __str__(self) -> str:
        return f"{self.status.name}: {self.text}"

    def code(self) -> grpc.StatusCode:
        return self.status

    def details(self) -> str:
        return self.text

    def debug_error_string(self) -> str:
        return self.text

    def initial_metadata(self) -> Any:
        return ()

    def trailing_metadata(self) -> Any:
        return ()


_CANCELLED = End(grpc.StatusCode.CANCELLED, "Locally cancelled by application!")


def _of_the_end(what: str) -> Callable[["Call"], Any]:
    return lambda call: getattr(call._ended(), what)()


class Call(grpc.RpcError, grpc.Call, grpc.Future):
    """What gRPC's `future` gives, of a call that may be made again. Thread-safe.

    As gRPC's it is cancelled when nobody has it any more, unless it has callbacks. So what makes
    its attempts knows it weakly. It does not keep the session, and ends with it.
    """

    def __init__(self, begin: Begin, hold: Hold, deadline: float) -> None:
        """deadline: by time.monotonic."""
        _timer.start()
        self._hold = hold
        self._process = os.getpid()
        # Of one attempt after the other.
        self._failed: Any = None  # the last
        self._pauses = Pauses(hold, deadline)
        # Guarded by:
        self._changed = threading.Condition()
        self._begin: Optional[Begin] = begin  # None: it has ended
        self._attempt: Any = None  # gRPC's call
        self._end: Any = None  # one of those, or an End
        self._callbacks: List[Callable[[], object]] = []

    def __del__(self) -> None:
        # Not there and then, see _session.py.
        if self._begin is not None and self._attempt is not None and self._process == os.getpid():
            _timer.put(self._attempt.cancel)

    def attempt(self, timeout: Optional[float], handle: str) -> None:
        with self._changed:
            begin = self._begin
        if begin is None:
            return
        attempt = begin(timeout, handle)
        with self._changed:
            self._attempt = attempt
            ended = self._begin is None
        if ended:
            attempt.cancel()
        attempt.add_done_callback(self._weakly(functools.partial(Call.attempted, handle=handle)))

    def attempted(self, attempt: Any, handle: str) -> None:
        """Ends with this attempt, or makes another. As a rule on gRPC's thread."""
        if not (self._hold.reconnects and never_begun(attempt)):
            self._finish(attempt)
            return
        self._failed = attempt
        self._pauses.failed(attempt, handle)
        self._pause()
        self._hold.check()

    def _pause(self) -> None:
        _timer.at(self._pauses.next(), self._weakly(Call._go_on))

    def _go_on(self) -> None:
        if self.done():
            return
        if self._pauses.over:
            self._finish(deadline_exceeded(self._failed))
        elif self._pauses.in_vain:
            self._finish(self._failed)
        elif not self._pauses.held:
            self._pause()
        else:
            try:
                self.attempt(self._pauses.left, self._hold.opened.handle)
            except Exception:
                self._finish(self._failed)  # its user closed the channel

    def _weakly(self, act: Callable[..., None]) -> Callable[..., None]:
        return functools.partial(_weakly, weakref.ref(self), act)

    def _finish(self, end: Any) -> bool:
        with self._changed:
            if self._begin is None:
                return False
            self._begin, self._end = None, end
            callbacks, self._callbacks = self._callbacks, []
            self._changed.notify_all()
        _kept.discard(self)
        if callbacks:
            # Not where gRPC would, on the thread that tells the ends of streams as well: a callback
            # that calls again, and so waits for the session, would wait for itself.
            _callbacks.start()
            _callbacks.put(functools.partial(_run, callbacks))
        return True

    def _ended(self, timeout: Optional[float] = None) -> Any:
        with self._changed:
            if not self._changed.wait_for(self.done, timeout):
                raise grpc.FutureTimeoutError
            return self._end

    def done(self) -> bool:
        return self._begin is None

    def running(self) -> bool:
        return not self.done()

    is_active = running

    def cancel(self) -> bool:
        if not self._finish(_CANCELLED):
            return False
        with self._changed:
            attempt = self._attempt
        if attempt is not None:
            attempt.cancel()
        return True

    def cancelled(self) -> bool:
        return self._end is _CANCELLED

    def result(self, timeout: Optional[float] = None) -> Any:
        failed = None
        try:
            failed = self.exception(timeout)
            if failed is None:
                return self._end.result()
            raise failed
        finally:
            del self, failed  # else they and the exception's traceback keep each other

    def exception(self, timeout: Optional[float] = None) -> Any:
        end = self._ended(timeout)
        if end is _CANCELLED:
            raise grpc.FutureCancelledError
        return self if isinstance(end, End) else end.exception()

    def traceback(self, timeout: Optional[float] = None) -> Any:
        try:
            self.result(timeout)
            return None
        except grpc.RpcError as error:
            return error.__traceback__

    def add_callback(self, callback: Callable[[], object]) -> bool:
        with self._changed:
            if self.done():
                return False
            self._callbacks.append(callback)
            _kept.add(self)
        return True

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        if not self.add_callback(functools.partial(fn, self)):
            fn(self)

    def time_remaining(self) -> Optional[float]:
        return self._pauses.left

    code, details = _of_the_end("code"), _of_the_end("details")
    initial_metadata = _of_the_end("initial_metadata")
    trailing_metadata = _of_the_end("trailing_metadata")
    debug_error_string = _of_the_end("debug_error_string")

    def __str__(self) -> str:
        return f"{self.code().name}: {self.details()}" if self.done() else "in progress"


def _weakly(known: "weakref.ref[Call]", act: Callable[..., None], *arguments: Any) -> None:
    call = known()
    if call is not None:
        act(call, *arguments)


def _run(callbacks: List[Callable[[], object]]) -> None:
    for callback in callbacks:
        try:
            callback()
        except BaseException:
            _log.exception("exception in a call's callback")
