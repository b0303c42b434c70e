"""Holding a session again whose stream was lost."""

import itertools
import random
import time
from typing import Any, NamedTuple, Union

import grpc

from memo import _metadata
from memo._hold import Hold, OnDraining, Released
from memo._results import Lost


class Held(NamedTuple):
    how: str  # "resumed" or "reopened"
    stream: Any  # what happens at its end is the caller's to say


_SHORTEST, _LONGEST = 0.1, 2.0  # pauses, in seconds

# Of an attempt: others may yet succeed. Any other: the server does not take us.
_MAY_PASS = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
)


def is_for_good(stream: grpc.RpcContext) -> bool:
    """Whether a stream was ended by somebody who meant the session, not by a loss."""
    by_intent = ("SESSION_CLOSED", "REPLACED")
    return stream.code() is grpc.StatusCode.OK or _metadata.error(stream) in by_intent


def lost_by(call: grpc.RpcContext) -> Lost:
    return Lost(call.code(), call.details(), _metadata.error(call))


def pause_before(attempt: int) -> float:
    """In seconds; attempts are counted from 0."""
    return random.uniform(0, min(_LONGEST, _SHORTEST * 2 ** min(attempt, 10)))


def reconnect(
    hold: Hold, why: Lost, deadline: float, on_draining: OnDraining
) -> Union[Held, Lost, None]:
    """Tries until it succeeds, or until `deadline`, by time.monotonic. None: the session was
    released. Blocks.
    """
    try:
        return _try(hold, why, deadline, on_draining)
    finally:
        hold.stop_probing()


def _try(
    hold: Hold, why: Lost, deadline: float, on_draining: OnDraining
) -> Union[Held, Lost, None]:
    # However long ago: the server's window begins when the server learns of the loss.
    resumes = hold.resume_window > 0
    for attempt in itertools.count():
        if hold.released.wait(min(pause_before(attempt), deadline - time.monotonic())):
            return None
        if time.monotonic() >= deadline:
            return why
        try:
            if attempt > 0:
                hold.probe()
            if resumes:
                return Held("resumed", hold.resume(on_draining, deadline))
            return Held("reopened", hold.open(on_draining, deadline))
        except Released:
            return None
        except TimeoutError as error:
            if time.monotonic() >= deadline:
                return why  # an attempt that was cut short says less than what was before it
            why = Lost(grpc.StatusCode.DEADLINE_EXCEEDED, str(error), None)
        except ConnectionError as error:
            why = Lost(grpc.StatusCode.ABORTED, str(error), None)
        except grpc.RpcError as error:
            if resumes and error.code() is grpc.StatusCode.NOT_FOUND:
                resumes = False
                continue
            why = lost_by(error)
        except Exception as error:  # there can be no thread just now, or an interceptor failed
            if isinstance(error, ValueError) and "closed" in str(error):
                return why  # its user closed the channel, says gRPC
            why = Lost(grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}", None)
        if why.code not in _MAY_PASS:
            return why
    raise AssertionError
