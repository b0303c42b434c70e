"""How a session is held: by one stream at a time, and by another when that is lost.

A Hold knows nothing of the Session, which nobody but its user is to keep alive. It is released when
the Session is.
"""

import concurrent.futures
import math
import os
import queue
import secrets
import threading
import time
from typing import Any, Callable, Iterator, Optional, Sequence, Tuple

import grpc
from google.protobuf import any_pb2

from memo._results import Lost
from memo.v1 import session_pb2, session_pb2_grpc

Metadata = Sequence[Tuple[str, Any]]
# Told of `draining`, on a thread that it must not hold up.
OnDraining = Optional[Callable[[], object]]


class Released(Exception):
    """The session is not wanted any more."""


class Hold:
    """Thread-safe."""

    def __init__(
        self,
        channel: grpc.Channel,
        state: Optional[any_pb2.Any],
        metadata: Optional[Metadata],
        timeout: Optional[float],
        reconnect_timeout: float,
    ) -> None:
        self._service = service_of(channel)
        self._metadata = metadata
        self._timeout = timeout
        self.reconnect_timeout = reconnect_timeout
        self.process = os.getpid()
        self._name = secrets.token_hex(16)  # by which a new stream takes the place of the former
        self._lock = threading.Lock()
        self._state = state
        self._stream: Any = None
        self._unread: Any = None  # the same, if nobody reads it
        self.opened = session_pb2.Opened()
        self.released = threading.Event()
        self.told = threading.Event()  # released, and so the server said, or cannot be asked
        self.lost: Optional[Lost] = None  # why it is held no more, for good
        self._probe: Any = None

    @property
    def stream(self) -> Any:
        """That holds it, or did last."""
        return self._stream

    @property
    def held(self) -> bool:
        """False: it is away, or its stream's end is still to be acted on."""
        stream = self._stream
        return stream is not None and stream.is_active()

    @property
    def reconnects(self) -> bool:
        """Whether it is held, or will be unless that fails."""
        return self.reconnect_timeout > 0 and self.lost is None and not self.released.is_set()

    @property
    def resume_window(self) -> float:
        """How long, in seconds, the server keeps a session that has lost its stream."""
        return float(self.opened.resume_window.ToNanoseconds() / 1e9)

    @property
    def lingers(self) -> bool:
        """Whether the server would keep it, if it were told nothing."""
        return self.resume_window > 0 and self.lost is None

    def open(self, on_draining: OnDraining, deadline: float = math.inf) -> Any:
        """Opens a session, and waits until it is open, its timeout is over, or `deadline` is, by
        time.monotonic. Returns the stream that holds it."""
        while True:
            with self._lock:
                state = self._state
            request = session_pb2.OpenSessionRequest(state=state, holder=self._name)
            stream = self._service.OpenSession(request, metadata=self._metadata)
            opened = self._first(stream, on_draining, None, deadline).opened
            if self._hold(stream, opened, state):
                if on_draining is None:
                    self._unread = stream
                return stream

    def resume(self, on_draining: OnDraining, deadline: float) -> Any:
        """Takes the session up again, and waits as `open`. Returns the stream that holds it."""
        heart = _Heart(self._name)
        stream = self._service.HoldSession(
            heart.requests(), metadata=(("memo-session", self.opened.handle),)
        )
        heart.begin(stream)
        held = self._first(stream, on_draining, heart, deadline).held
        heart.timeout.put(held.heartbeat_timeout.ToNanoseconds() / 1e9)
        self._hold(stream, self.opened, None)
        return stream

    def probe(self) -> None:
        """Has gRPC connect as soon as it can, until `stop_probing`. Not thread-safe, as that."""
        # It looks at its connections every 5 s (1.51), or while a call waits for one.
        probe = self._probe
        if probe is None or probe.done():
            try:
                self._probe = self._service.GetCacheInfo.future(
                    session_pb2.GetCacheInfoRequest(),
                    metadata=(("memo-session", self.opened.handle),),
                    wait_for_ready=True,
                )
            except ValueError:
                pass  # the channel is closed

    def stop_probing(self) -> None:
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.cancel()

    def keep(self, state: Optional[any_pb2.Any], handle: str) -> bool:
        """What the session is opened with from now on. False: it is another by now than the one
        that has this state already."""
        with self._lock:
            self._state = state
            return self.opened.handle == handle

    def check(self) -> None:
        """To be called when a call found no server, or no session. Does not wait."""
        # gRPC does not tell the end of a stream before all of it was read, as `draining`.
        with self._lock:
            stream, self._unread = self._unread, None
        if stream is not None:
            try:
                _start_reader(_read_on, stream, None, None)
            except RuntimeError:  # there can be no thread just now
                self._unread = stream

    def release(self) -> None:
        """Lets go of the session, and does not wait for the server."""
        with self._lock:
            self.released.set()
            stream, self._stream, self._unread = self._stream, None, None
        if stream is not None:
            self._let_go(stream, self.opened, lambda: self.told.set())  # keeps `self` until then

    def _hold(
        self, stream: Any, opened: session_pb2.Opened, state: Optional[any_pb2.Any]
    ) -> bool:
        """False: it was opened with a state that is not the last."""
        with self._lock:
            released = self.released.is_set()
            resumed = opened is self.opened
            if not released and (resumed or state is self._state):
                self._stream, self.opened, self._unread = stream, opened, None
                return True
        self._let_go(stream, opened)
        if released:
            raise Released
        return False

    def _let_go(
        self, stream: Any, opened: session_pb2.Opened, told: Callable[[], None] = lambda: None
    ) -> None:
        if opened.resume_window.ToNanoseconds() > 0:
            # Else the end of the stream is taken for its loss.
            try:
                closing = self._service.CloseSession.future(
                    session_pb2.CloseSessionRequest(),
                    timeout=self._timeout,
                    metadata=(("memo-session", opened.handle),),
                    wait_for_ready=True,
                )
                # gRPC cancels a call that nobody has any more.
                closing.add_done_callback(lambda _: told())
            except Exception:
                told()  # the channel is closed, or there can be no thread for it just now
        stream.cancel()

    def _first(
        self, stream: Any, on_draining: OnDraining, heart: "Optional[_Heart]", deadline: float
    ) -> Any:
        """The first message. gRPC reads without a timeout, so a thread of ours reads."""
        first: "concurrent.futures.Future[Any]" = concurrent.futures.Future()
        timeout = self._timeout
        if deadline < math.inf:
            left = max(0.0, deadline - time.monotonic())
            timeout = left if timeout is None else min(left, timeout)
        try:
            _start_reader(_read, stream, first, on_draining, heart)
            return first.result(timeout)
        except concurrent.futures.TimeoutError:
            stream.cancel()
            raise TimeoutError(
                f"the server did not open the session within {timeout:.4g} s"
            ) from None
        except BaseException:
            stream.cancel()
            raise


class _Heart:
    """The requests of HoldSession: `hold`, and then heartbeats, as long as they are answered."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.heard = time.monotonic()
        # How long either side waits for the other, once that is known; None: the stream has ended.
        self.timeout: "queue.SimpleQueue[Optional[float]]" = queue.SimpleQueue()

    def begin(self, stream: Any) -> None:
        self._stream = stream
        stream.add_done_callback(lambda _: self.timeout.put(None))

    def requests(self) -> Iterator[session_pb2.HoldSessionRequest]:
        yield session_pb2.HoldSessionRequest(hold=session_pb2.Hold(holder=self._name))
        timeout = self.timeout.get()
        while timeout is not None:
            try:
                self.timeout.get(timeout=timeout / 3)
                return  # it has ended
            except queue.Empty:
                if time.monotonic() - self.heard > timeout:
                    self._stream.cancel()
                yield session_pb2.HoldSessionRequest(heartbeat=session_pb2.Heartbeat())


def service_of(channel: grpc.Channel) -> Any:
    return session_pb2_grpc.SessionServiceStub(channel)  # type: ignore[no-untyped-call]


def _start_reader(read: Callable[..., None], *arguments: Any) -> None:
    threading.Thread(target=read, args=arguments, name="memo-reader", daemon=True).start()


def _read(
    stream: Any,
    first: "concurrent.futures.Future[Any]",
    on_draining: OnDraining,
    heart: Optional[_Heart],
) -> None:
    try:
        first.set_result(next(stream))
    except StopIteration:
        first.set_exception(ConnectionError("the server ended the session before it was open"))
    except BaseException as error:
        first.set_exception(error)
    else:
        if on_draining is not None or heart is not None:
            _read_on(stream, on_draining, heart)


def _read_on(stream: Any, on_draining: OnDraining, heart: Optional[_Heart]) -> None:
    try:
        for event in stream:
            if heart is not None:
                heart.heard = time.monotonic()
            if on_draining is not None and event.HasField("draining"):
                on_draining()
    except grpc.RpcError:
        pass  # whoever awaits the end is told as well
