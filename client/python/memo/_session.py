"""A session, held.

Who holds whom decides here when a session ends, so these are the rules:
- The open stream is the session. gRPC keeps a stream alive until it ends, whoever drops it. So what
  runs at the stream's end, and the thread that reads it, know the Session weakly: nothing but its
  user keeps a Session alive.
- What the user gave, `on_lost` and `on_draining`, only the Session holds. If they lead back to the
  Session, that is a cycle of Python objects, which Python collects.
- When the Session goes, the stream is cancelled, but not there and then: the garbage collector runs
  finalizers in the middle of anything, gRPC's own locked regions among it. A worker does it.
- A forked child has the parent's objects and its sockets. Whatever it drops, it must not write to
  them that the session is to end.
"""

import concurrent.futures
import functools
import os
import threading
import weakref
from types import TracebackType
from typing import Any, Callable, Optional, Sequence, Tuple, Type

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message

from memo import _metadata
from memo._channel import with_handle
from memo._results import CacheInfo, Lost, Receipt
from memo._worker import Worker
from memo.v1 import session_pb2, session_pb2_grpc

Metadata = Sequence[Tuple[str, Any]]

_releases = Worker("memo-releases")  # runs none of the user's code, so it is never held up
_events = Worker("memo-events")


def open_session(
    channel: grpc.Channel,
    state: Optional[Message] = None,
    *,
    hold_on: Optional[grpc.Channel] = None,
    metadata: Optional[Metadata] = None,
    timeout: Optional[float] = 30.0,
    on_draining: Optional[Callable[[], object]] = None,
    on_lost: Optional[Callable[[Lost], object]] = None,
) -> "Session":
    """Opens a session and waits until the server has built its instance.

    state: its type selects the hosted class; None: a session without an instance.
    hold_on: the channel that holds the session, instead of `channel`. See the README.
    metadata: of the opening. The server may keep some of it for the session's computations.
    timeout: in seconds, of the opening, and of each of the session's own calls; not of calls on
        its `channel`. None: forever.
    on_draining: called when the server is about to stop. Calls still work; open the next session
        elsewhere. A session with it has a thread of its own.
    on_lost: called once when the session ended, but not by `close`.

    The callbacks run one after the other on one thread, which they may block. They may open
    sessions. After `close` none is begun.

    Raises grpc.RpcError, with the errors of SessionService.OpenSession, and TimeoutError.
    """
    request = session_pb2.OpenSessionRequest()
    if state is not None:
        request.state.CopyFrom(_packed(state))
    session = Session(channel, timeout, on_draining, on_lost)
    session._open(hold_on or channel, request, metadata)
    return session


class Session:
    """Comes from `open_session`. Ends when it is closed, by `with` or `close`, or collected,
    whichever is first, and with the process; the server then releases all that it remembers for it.

    What `channel` gives keeps the session alive, and so do the stubs made of it, as a bound method
    keeps `self`.

    Thread-safe. Its calls raise grpc.RpcError: NOT_FOUND with the memo-error SESSION_NOT_FOUND if
    the session is closed or lost. In a forked child it can neither be used nor end.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        timeout: Optional[float],
        on_draining: Optional[Callable[[], object]],
        on_lost: Optional[Callable[[Lost], object]],
    ) -> None:
        self._channel = channel
        self._service = _service(channel)
        self._timeout = timeout
        self._on_draining = on_draining
        self._on_lost = on_lost
        self._process = os.getpid()
        self._lost: Optional[Lost] = None
        self._receipt: Optional[Receipt] = None

    def _open(
        self,
        channel: grpc.Channel,
        request: session_pb2.OpenSessionRequest,
        metadata: Optional[Metadata],
    ) -> None:
        _releases.start()
        _events.start()
        stream = _service(channel).OpenSession(request, metadata=metadata)
        self._release = weakref.finalize(self, _release, stream, self._process)
        # The end of the process closes its connections: the server needs no telling.
        self._release.atexit = False
        try:
            opened = _read_opened(stream, self._timeout, weakref.ref(self))
        except BaseException:
            self._release()
            raise
        self._id, self._handle = opened.session_id, opened.handle
        stream.add_done_callback(functools.partial(_ended, weakref.ref(self)))

    @property
    def id(self) -> str:
        """Its public name, in the server's logs and at its admin port."""
        return self._id

    @property
    def handle(self) -> str:
        """A secret: whoever sends it as `memo-session` is the session."""
        return self._handle

    @property
    def channel(self) -> grpc.Channel:
        """For stubs of your own: adds the handle to every call. To close it is to close the
        channel that the session was opened with.
        """
        return with_handle(self._channel, self._handle_here)

    @property
    def lost(self) -> Optional[Lost]:
        """Why the session ended, unless it is held or was closed here."""
        return self._lost

    @property
    def closed(self) -> bool:
        """Whether it has ended: closed here, or lost."""
        return self._lost is not None or not self._release.alive

    def update_state(self, state: Optional[Message]) -> Receipt:
        """Replaces the state: the server builds a new instance, and starts an empty cache. On an
        error the session goes on as it was. Returns what the former state's cache held.
        """
        request = session_pb2.UpdateStateRequest()
        if state is not None:
            request.state.CopyFrom(_packed(state))
        return Receipt._of(self._call(self._service.UpdateState, request).receipt)

    def clear(self, method: Optional[str] = None) -> Receipt:
        """Drops what is remembered, all of it or that of a method such as "/pkg.Service/Method"."""
        request = session_pb2.ClearCacheRequest(method=method or "")
        return Receipt._of(self._call(self._service.ClearCache, request).receipt)

    def forget(
        self, method: str, request: Message, *, metadata: Optional[Metadata] = None
    ) -> Receipt:
        """Drops what is remembered of one call, and touches nothing else. `metadata` matters where
        it is part of the method's key.
        """
        call = session_pb2.ForgetRequest(method=method, request=request.SerializeToString())
        return Receipt._of(self._call(self._service.Forget, call, metadata).receipt)

    def cache_info(self, method: Optional[str] = None) -> CacheInfo:
        """The counters of all methods added up, or of one such as "/pkg.Service/Method"."""
        request = session_pb2.GetCacheInfoRequest(method=method or "")
        return CacheInfo._of(self._call(self._service.GetCacheInfo, request).total)

    def close(self) -> Optional[Receipt]:
        """Ends the session and waits until the server has released it. Returns what was released,
        again when called again; None if the session was lost, or the server cannot be asked: it
        releases the session then by itself. Raises none of that.
        """
        if self._process != os.getpid():
            return None
        held = self._release.detach()
        if held is None:
            return self._receipt
        try:
            if self._lost is None:
                answer = self._call(self._service.CloseSession, session_pb2.CloseSessionRequest())
                self._receipt = Receipt._of(answer.receipt)
        except grpc.RpcError:
            pass
        finally:
            _, release, arguments, _ = held
            release(*arguments)
        return self._receipt

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        value: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._lost is not None:
            status = f"lost: {self._lost.code.name}: {self._lost.details}"
        else:
            status = "closed" if self.closed else "open"
        return f"<memo.Session {self._id} {status}>"

    def _handle_here(self) -> str:
        if self._process != os.getpid():
            raise RuntimeError(
                f"session {self._id} belongs to process {self._process}, not to its fork "
                f"{os.getpid()}: open a session there, on a channel made there"
            )
        return self._handle

    def _call(self, method: Any, request: Message, metadata: Optional[Metadata] = None) -> Any:
        all_metadata = (*(metadata or ()), ("memo-session", self._handle_here()))
        return method(request, timeout=self._timeout, metadata=all_metadata)

    def _tell_draining(self) -> None:
        if self._on_draining is not None and not self.closed:
            self._on_draining()

    def _tell_lost(self) -> None:
        if self._on_lost is not None and self._lost is not None and self._release.alive:
            self._on_lost(self._lost)


def _service(channel: grpc.Channel) -> Any:
    return session_pb2_grpc.SessionServiceStub(channel)  # type: ignore[no-untyped-call]


def _packed(state: Message) -> any_pb2.Any:
    if isinstance(state, any_pb2.Any):
        return state
    packed = any_pb2.Any()
    packed.Pack(state)
    return packed


def _release(stream: Any, process: int) -> None:
    if process == os.getpid():
        _releases.put(stream.cancel)


def _read_opened(
    stream: Any, timeout: Optional[float], session: "weakref.ref[Session]"
) -> session_pb2.Opened:
    """The first message of the stream. gRPC reads without a timeout, so a thread of ours reads."""
    first: "concurrent.futures.Future[Any]" = concurrent.futures.Future()
    reader = threading.Thread(
        target=_read, args=(stream, first, session), name="memo-reader", daemon=True
    )
    reader.start()
    try:
        opened: session_pb2.Opened = first.result(timeout).opened
        return opened
    except concurrent.futures.TimeoutError:
        raise TimeoutError(f"the server did not open the session within {timeout} s") from None


def _read(
    stream: Any, first: "concurrent.futures.Future[Any]", session: "weakref.ref[Session]"
) -> None:
    try:
        first.set_result(next(stream))
    except StopIteration:
        first.set_exception(ConnectionError("the server ended the session before it was open"))
    except BaseException as error:
        first.set_exception(error)
    else:
        if _wants_draining(session):
            _read_on(stream, session)


def _wants_draining(session: "weakref.ref[Session]") -> bool:
    holder = session()
    return holder is not None and holder._on_draining is not None


def _read_on(stream: Any, session: "weakref.ref[Session]") -> None:
    try:
        for event in stream:
            if event.HasField("draining"):
                _events.put(functools.partial(_tell, session, Session._tell_draining))
    except grpc.RpcError:
        pass  # `_ended` is told as well


def _ended(session: "weakref.ref[Session]", stream: Any) -> None:
    """Runs on gRPC's thread, which nothing of the user's may hold up."""
    holder = session()
    if holder is None or not holder._release.alive:
        return
    holder._lost = Lost(stream.code(), stream.details(), _metadata.error(stream))
    _events.put(functools.partial(_tell, session, Session._tell_lost))


def _tell(session: "weakref.ref[Session]", event: Callable[[Session], None]) -> None:
    holder = session()
    if holder is not None:
        event(holder)
