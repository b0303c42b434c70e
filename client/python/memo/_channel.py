"""The channel that a session gives to its user's stubs."""

import threading
from typing import Any, Callable, NamedTuple, Optional, Tuple

import grpc

from memo._hold import Hold
from memo._retry import Begin, Call, Pauses, deadline_exceeded, deadline_of, never_begun


class _CallDetails(NamedTuple):
    method: str
    timeout: Optional[float]
    metadata: Any
    credentials: Any
    wait_for_ready: Optional[bool]
    compression: Any


class _Details(_CallDetails, grpc.ClientCallDetails):
    pass


class _HandleAdder(
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    def __init__(self, handle: Callable[[], str]) -> None:
        self._handle = handle

    def _intercept(self, proceed: Any, details: Any, request: Any) -> Any:
        added = _Details(
            details.method,
            details.timeout,
            (*(details.metadata or ()), ("memo-session", self._handle())),
            details.credentials,
            details.wait_for_ready,
            details.compression,
        )
        return proceed(added, request)

    intercept_unary_stream = _intercept
    intercept_stream_unary = _intercept
    intercept_stream_stream = _intercept


class _Frozen(threading.local):
    """What this thread serialized last."""

    request: Optional[bytes] = None


class _UnaryMethod(grpc.UnaryUnaryMultiCallable):
    """A blocking call gives what gRPC gives; again, if need be, in the thread of its caller: on one of
    gRPC's, another call's answer might never come.
    """

    def __init__(
        self, make: Callable[[Any], Any], serializer: Any, handle: Callable[[], str], hold: Hold
    ) -> None:
        """make: gRPC's method, with the serializer that it is given."""
        self._method = make(serializer)
        self._frozen = _Frozen()
        self._freezing = make(_freezing(serializer, self._frozen))
        self._make = make
        self._handle = handle
        self._hold = hold

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.with_call(*arguments, **named)[0]

    def with_call(
        self, request: Any, timeout: Any = None, metadata: Any = None, *others: Any, **named: Any
    ) -> Tuple[Any, Any]:
        metadata = tuple(metadata or ())
        pauses = Pauses(self._hold, deadline_of(timeout))
        while True:
            handle = self._handle()
            sent = (*metadata, ("memo-session", handle))
            try:
                return self._method.with_call(  # type: ignore[no-any-return]
                    request, timeout, sent, *others, **named
                )
            except grpc.RpcError as error:
                if not (self._hold.reconnects and never_begun(error)):
                    raise
                pauses.failed(error, handle)
                if not pauses.wait():
                    raise
                if pauses.over:
                    raise deadline_exceeded(error) from None
                timeout = pauses.left

    def future(
        self, request: Any, timeout: Any = None, metadata: Any = None, *others: Any, **named: Any
    ) -> Any:
        deadline = deadline_of(timeout)
        handle = self._handle()
        begin = self._begin(request, tuple(metadata or ()), others, named)
        if not self._hold.reconnects:
            return begin(timeout, handle)
        call = Call(begin, self._hold, deadline)
        call.attempt(timeout, handle)
        return call

    def _begin(self, request: Any, metadata: Any, others: Any, named: Any) -> Begin:
        """Begins the call, again with the bytes of the first time. Does not keep the session."""
        method, make, frozen = self._freezing, self._make, self._frozen

        def begin(timeout: Optional[float], handle: str) -> Any:
            nonlocal method
            sent = (*metadata, ("memo-session", handle))
            call = method.future(request, timeout, sent, *others, **named)
            sent_bytes, frozen.request = frozen.request, None
            if sent_bytes is not None:
                method = make(lambda _: sent_bytes)
            return call

        return begin


def _freezing(serializer: Any, frozen: _Frozen) -> Any:
    if serializer is None:
        return None

    def serialize(request: Any) -> Any:
        frozen.request = serializer(request)
        return frozen.request

    return serialize


class SessionChannel(grpc.Channel):
    """`channel`, with what `handle` returns added to every call as `memo-session`, and unary calls
    made again as _retry.py says.
    """

    def __init__(self, channel: grpc.Channel, handle: Callable[[], str], hold: Hold) -> None:
        self._channel = channel
        self._streams = grpc.intercept_channel(channel, _HandleAdder(handle))
        self._handle = handle
        self._hold = hold

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        **named: Any,
    ) -> grpc.UnaryUnaryMultiCallable:
        channel = self._channel  # a call that is made again does not keep the session, as `self` does

        def make(serializer: Any) -> Any:
            return channel.unary_unary(method, serializer, response_deserializer, **named)

        return _UnaryMethod(make, request_serializer, self._handle, self._hold)

    def unary_stream(self, *arguments: Any, **named: Any) -> grpc.UnaryStreamMultiCallable:
        return self._streams.unary_stream(*arguments, **named)

    def stream_unary(self, *arguments: Any, **named: Any) -> grpc.StreamUnaryMultiCallable:
        return self._streams.stream_unary(*arguments, **named)

    def stream_stream(self, *arguments: Any, **named: Any) -> grpc.StreamStreamMultiCallable:
        return self._streams.stream_stream(*arguments, **named)

    def subscribe(self, *arguments: Any, **named: Any) -> None:
        self._channel.subscribe(*arguments, **named)

    def unsubscribe(self, callback: Any) -> None:
        self._channel.unsubscribe(callback)

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> "SessionChannel":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
