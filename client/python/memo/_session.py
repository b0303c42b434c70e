"""A session, held.

Who holds whom decides here when a session ends, so these are the rules:
- The open stream is the session. gRPC keeps a stream alive until it ends, whoever drops it. So what
  runs at the stream's end, the thread that reads it, and the one that holds the session again when
  it was lost, know the Session weakly: nothing but its user keeps a Session alive.
- What the user gave, `on_lost` and the like, only the Session holds. If they lead back to the
  Session, that is a cycle of Python objects, which Python collects.
- When the Session goes, the stream is cancelled, but not there and then: the garbage collector runs
  finalizers in the middle of anything, gRPC's own locked regions among it. A worker does it.
- A forked child has the parent's objects and its sockets. Whatever it drops, it must not write to
  them that the session is to end.
"""

import functools
import os
import threading
import time
import weakref
from types import TracebackType
from typing import Any, Callable, NamedTuple, Optional, Tuple, Type

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message

from memo._channel import SessionChannel
from memo._exit import let_go_at_exit
from memo._hold import Hold, Metadata, OnDraining, service_of
from memo._reconnect import Held, is_for_good, lost_by, pause_before, reconnect
from memo._results import CacheInfo, Lost, Receipt
from memo._retry import Pauses, deadline_of, is_unanswered
from memo._worker import Timer, Worker
from memo.v1 import session_pb2

_releases = Timer("memo-releases")  # runs none of the user's code, so it is never held up
_events = Worker("memo-events")

Event = Optional[Callable[[], object]]
OnEnded = Callable[[Any], object]


class _Events(NamedTuple):
    draining: Event
    resumed: Event
    reopened: Event
    lost: Optional[Callable[[Lost], object]]


def open_session(
    channel: grpc.Channel,
    state: Optional[Message] = None,
    *,
    hold_on: Optional[grpc.Channel] = None,
    metadata: Optional[Metadata] = None,
    timeout: Optional[float] = 30.0,
    reconnect_timeout: float = 60.0,
    on_draining: Event = None,
    on_resumed: Event = None,
    on_reopened: Event = None,
    on_lost: Optional[Callable[[Lost], object]] = None,
) -> "Session":
    """Opens a session and waits until the server has built its instance.

    state: its type selects the hosted class; None: a session without an instance.
    hold_on: the channel that holds the session, instead of `channel`. See the README.
    metadata: of the opening. The server may keep some of it for the session's computations.
    timeout: in seconds, of the opening, and of each of the session's own calls; not of calls on
        its `channel`. None: forever.
    reconnect_timeout: how long, in seconds, a session whose connection or server is lost is
        reconnected before it counts as lost: resumed as it was where the server still has it, else
        opened anew with its state. Unary calls made meanwhile wait, as long as no computation of
        them can have begun. 0: not at all.
    on_draining: called when the server is about to stop. Calls still work. A session with it has a
        thread of its own.
    on_resumed: called when the session was disconnected and is held again, all as it was.
    on_reopened: called when the session is a new one, with the same state: another handle, nothing
        remembered.
    on_lost: called once when the session ended for good, but not by `close`.

    The callbacks run one after the other on one thread, which they may block. They may open
    sessions. After `close` none is begun.

    Raises grpc.RpcError, with the errors of SessionService.OpenSession, and TimeoutError.
    """
    hold = Hold(hold_on or channel, _packed(state), metadata, timeout, reconnect_timeout)
    events = _Events(on_draining, on_resumed, on_reopened, on_lost)
    session = Session(channel, timeout, events, hold)
    session._open()
    return session


class Session:
    """Comes from `open_session`. Ends when it is closed, by `with` or `close`, or collected,
    whichever is first, and with the process; the server then releases all that it remembers for it.
    Of a process that is killed, or ends by `os._exit`, it does so after its resume window, if any.

    What `channel` gives keeps the session alive, and so do the stubs made of it, as a bound method
    keeps `self`.

    Thread-safe. Its calls raise grpc.RpcError: NOT_FOUND with the memo-error SESSION_NOT_FOUND if
    the session is closed or lost. While it is reconnected they wait, as those on `channel` do. In a
    forked child it can neither be used nor end.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        timeout: Optional[float],
        events: _Events,
        hold: Hold,
    ) -> None:
        self._channel = channel
        self._timeout = timeout
        self._events = events
        self._hold = hold
        self._process = os.getpid()
        self._receipt: Optional[Receipt] = None
        # Held by whoever replaces the state: what is kept is what the server took last.
        self._updating = threading.Lock()

    def _open(self) -> None:
        _releases.start()
        _events.start()
        self._release = weakref.finalize(self, _release, self._hold, self._process)
        self._release.atexit = False  # see _exit.py
        try:
            draining, ended = self._told()
            self._hold.open(draining).add_done_callback(ended)
            let_go_at_exit(self._hold)
        except BaseException:
            self._release()
            raise

    @property
    def id(self) -> str:
        """Its public name now, in the server's logs and at its admin port."""
        return self._hold.opened.session_id

    @property
    def handle(self) -> str:
        """A secret: whoever sends it as `memo-session` is the session as it is now."""
        return self._hold.opened.handle

    @property
    def channel(self) -> grpc.Channel:
        """For stubs of your own: adds the handle to every call. Unary calls are made again where no
        computation can have begun: they found no server, or no session, or their server stopped
        before it began them.
        To close it is to close the channel that the session was opened with.
        """
        return SessionChannel(self._channel, self._handle_here, self._hold)

    @property
    def _service(self) -> Any:
        return service_of(self.channel)

    @property
    def lost(self) -> Optional[Lost]:
        """Why the session ended, unless it is held or was closed here."""
        return self._hold.lost

    @property
    def closed(self) -> bool:
        """Whether it has ended: closed here, or lost."""
        return self._hold.lost is not None or self._hold.released.is_set()

    def update_state(self, state: Optional[Message]) -> Receipt:
        """Replaces the state: the server builds a new instance, and starts an empty cache. Returns
        what the former state's cache held. One after the other: a call waits for those that began
        before it.

        Where the connection is lost before the answer came, the update is made again once the
        session is held again, within the timeout. If that fails the first error is raised,
        UNAVAILABLE or CANCELLED. After those, and DEADLINE_EXCEEDED, it is unknown which state the
        session has, and which after another loss, until the next update. On any other error it goes
        on as it was.
        """
        packed = _packed(state)
        request = session_pb2.UpdateStateRequest(state=packed)
        self._handle_here()  # not in a forked child, where whoever has the lock is not
        with self._updating:
            return self._update(packed, request)

    def _update(self, packed: Optional[any_pb2.Any], request: Message) -> Receipt:
        pauses = Pauses(self._hold, deadline_of(self._timeout))
        lost: Optional[grpc.RpcError] = None  # why the first answer that did not come did not
        try:
            while True:
                handle, stream = self._handle_here(), self._hold.stream
                try:
                    answer = self._service.UpdateState(request, timeout=pauses.left)
                except (grpc.RpcError, ValueError) as error:
                    # A server's own UNAVAILABLE looks the same. But then it is there when asked
                    # again, and gives it again.
                    away = self._hold.stream is not stream or not self._hold.held
                    if (lost is None or away) and self._hold.reconnects and is_unanswered(error):
                        lost = lost or error
                        if pauses.wait() and not pauses.over:
                            continue
                    if lost is None or lost is error:
                        raise
                    raise lost from error
                if self._hold.keep(packed, handle):
                    return Receipt._of(answer.receipt)
                # It was opened anew meanwhile, with the former state.
        finally:
            del lost  # else it and its traceback keep each other, and the session

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
        self._hold.released.set()  # nothing is tried any more
        try:
            if self._hold.lost is None:
                answer = self._call(self._service.CloseSession, session_pb2.CloseSessionRequest())
                self._receipt = Receipt._of(answer.receipt)
        except (grpc.RpcError, ValueError):
            pass  # the latter: its user closed the channel
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
        if self._hold.lost is not None:
            status = f"lost: {self._hold.lost.code.name}: {self._hold.lost.details}"
        else:
            status = "closed" if self.closed else "open"
        return f"<memo.Session {self.id} {status}>"

    def _handle_here(self) -> str:
        if self._process != os.getpid():
            raise RuntimeError(
                f"session {self.id} belongs to process {self._process}, not to its fork "
                f"{os.getpid()}: open a session there, on a channel made there"
            )
        return self.handle

    def _call(self, method: Any, request: Message, metadata: Optional[Metadata] = None) -> Any:
        return method(request, timeout=self._timeout, metadata=metadata)

    def _told(self) -> Tuple[OnDraining, OnEnded]:
        """What a stream of this session tells, and knows it weakly by."""
        session = weakref.ref(self)
        draining = functools.partial(_put, session, "draining") if self._events.draining else None
        return draining, functools.partial(_ended, session)

    def _tell(self, name: str, *what: Lost) -> None:
        event = getattr(self._events, name)
        if event is not None and not self._hold.released.is_set():
            event(*what)


def _packed(state: Optional[Message]) -> Optional[any_pb2.Any]:
    if state is None or isinstance(state, any_pb2.Any):
        return state
    packed = any_pb2.Any()
    packed.Pack(state)
    return packed


def _release(hold: Hold, process: int) -> None:
    if process == os.getpid():
        _releases.put(hold.release)


def _ended(session: "weakref.ref[Session]", stream: Any) -> None:
    """Runs on gRPC's thread, which nothing of the user's may hold up."""
    holder = session()
    if holder is None or holder._hold.released.is_set():
        return
    if holder._process != os.getpid():
        return  # gRPC ends a forked child's streams; the parent's goes on
    why = lost_by(stream)
    if is_for_good(stream) or holder._hold.reconnect_timeout <= 0:
        _lose(session, why)
    else:
        _begin_reconnecting(session, why, time.monotonic() + holder._hold.reconnect_timeout)


def _begin_reconnecting(
    session: "weakref.ref[Session]", why: Lost, deadline: float, attempt: int = 0
) -> None:
    """On a thread that nothing may hold up, so on another; when there can be one."""
    holder = session()
    if holder is None or holder._hold.released.is_set():
        return
    arguments = (session, holder._hold, why, deadline, *holder._told())
    try:
        threading.Thread(
            target=_reconnect, args=arguments, name="memo-reconnect", daemon=True
        ).start()
    except RuntimeError as error:
        now = time.monotonic()
        if now >= deadline:
            _lose(session, Lost(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error), None))
            return
        again = functools.partial(_begin_reconnecting, session, why, deadline, attempt + 1)
        _releases.at(min(deadline, now + pause_before(attempt)), again)


def _reconnect(
    session: "weakref.ref[Session]",
    hold: Hold,
    why: Lost,
    deadline: float,
    on_draining: OnDraining,
    on_ended: OnEnded,
) -> None:
    became = reconnect(hold, why, deadline, on_draining)
    if isinstance(became, Held):
        _put(session, became.how)
        became.stream.add_done_callback(on_ended)  # only now: its end may be the last that is told
    elif became is not None:
        _lose(session, became)


def _lose(session: "weakref.ref[Session]", why: Lost) -> None:
    holder = session()
    if holder is not None and not holder._hold.released.is_set():
        holder._hold.lost = why
        _put(session, "lost", why)


def _put(session: "weakref.ref[Session]", event: str, *what: Lost) -> None:
    _events.put(functools.partial(_tell, session, event, *what))


def _tell(session: "weakref.ref[Session]", event: str, *what: Lost) -> None:
    holder = session()
    if holder is not None:
        holder._tell(event, *what)
