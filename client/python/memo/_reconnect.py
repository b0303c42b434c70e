"""Holding a session again whose stream was lost."""

import itertools
import random
import time
from typing import Literal, Union

import grpc

from memo import _metadata
from memo._hold import Hold, OnDraining, OnEnded, Released
from memo._results import Lost

_Became = Union[Literal["resumed", "reopened", "released"], Lost]

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


def reconnect(
    hold: Hold, why: Lost, timeout: float, on_draining: OnDraining, on_ended: OnEnded
) -> _Became:
    """Tries until it succeeds, the session is released, or about `timeout` is over; says which.
    Blocks.
    """
    try:
        return _try(hold, why, timeout, on_draining, on_ended)
    finally:
        hold.stop_probing()


def _try(
    hold: Hold, why: Lost, timeout: float, on_draining: OnDraining, on_ended: OnEnded
) -> _Became:
    began = time.monotonic()
    waits = hold.resume_window
    for attempt in itertools.count():
        pause = random.uniform(0, min(_LONGEST, _SHORTEST * 2 ** min(attempt, 10)))
        if hold.released.wait(pause):
            return "released"
        resumes = time.monotonic() - began < waits
        try:
            if resumes:
                hold.resume(on_draining, on_ended)
                return "resumed"
            hold.open(on_draining, on_ended)
            return "reopened"
        except Released:
            return "released"
        except TimeoutError as error:
            why = Lost(grpc.StatusCode.DEADLINE_EXCEEDED, str(error), None)
        except ConnectionError as error:
            why = Lost(grpc.StatusCode.ABORTED, str(error), None)
        except ValueError:
            return why  # its user closed the channel
        except grpc.RpcError as error:
            hold.probe()
            if resumes and error.code() is grpc.StatusCode.NOT_FOUND:
                waits = 0.0
                continue
            why = lost_by(error)
        if why.code not in _MAY_PASS or time.monotonic() - began > timeout:
            return why
    raise AssertionError
