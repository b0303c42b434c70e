"""What memod reads from a call's metadata, and what it writes there."""

from typing import Any, Literal, Optional, Tuple

Control = Literal["bypass", "refresh", "no-store", "only-if-cached"]


def control(wish: Control) -> Tuple[Tuple[str, str], ...]:
    """Metadata for a call that is not to be remembered as usual.

        stub.Quote(request, metadata=memo.control("refresh"))

    bypass: compute, touch nothing; refresh: compute and replace; no-store: do not keep what a miss
    computes; only-if-cached: compute nothing, a miss is FAILED_PRECONDITION.
    """
    return (("memo-control", wish),)


def cache_status(call: Any) -> Optional[str]:
    """How the answer of a call came: "hit", "miss", "coalesced" (waited for an equal call's
    computation) or "bypass"; None if memod did not say. `call` as `with_call` and `future` give it.
    Blocks until the answer begins.
    """
    return _value(call.initial_metadata(), "memo-cache")


def age(call: Any) -> Optional[int]:
    """On a hit, how many whole seconds ago the answer was computed. As `cache_status`."""
    value = _value(call.initial_metadata(), "memo-age")
    return None if value is None else int(value)


def error(failed: Any) -> Optional[str]:
    """Of a grpc.RpcError, which of memod's own errors it is, as in "SESSION_NOT_FOUND"; None if
    it is the application's, or the network's. session.proto lists them.
    """
    return _value(failed.trailing_metadata(), "memo-error")


def _value(metadata: Any, name: str) -> Optional[str]:
    return next((value for key, value in metadata or () if key == name), None)
