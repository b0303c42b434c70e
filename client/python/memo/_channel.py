"""The channel that a session gives to its user's stubs."""

from typing import Any, Callable, NamedTuple, Optional

import grpc


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
    grpc.UnaryUnaryClientInterceptor,
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

    intercept_unary_unary = _intercept
    intercept_unary_stream = _intercept
    intercept_stream_unary = _intercept
    intercept_stream_stream = _intercept


def with_handle(channel: grpc.Channel, handle: Callable[[], str]) -> grpc.Channel:
    """`channel`, with what `handle` returns added to every call as `memo-session`."""
    return grpc.intercept_channel(channel, _HandleAdder(handle))
