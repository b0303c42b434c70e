"""What a session answers with."""

from typing import Any, NamedTuple, Optional

import grpc


class Receipt(NamedTuple):
    """What the server released."""

    entries: int
    bytes: int  # key + value + what an entry itself costs
    compute_seconds: float  # that computing the released answers had taken

    @classmethod
    def _of(cls, message: Any) -> "Receipt":
        return cls(*(getattr(message, field) for field in cls._fields))


class CacheInfo(NamedTuple):
    """The first four are those of functools. Always: hits + misses = lookups.

    session.proto defines each field.
    """

    hits: int
    misses: int
    maxsize: Optional[int]  # None: unbounded, or methods with different bounds added up
    currsize: int
    coalesced: int
    computations: int
    errors: int
    bytes: int
    evictions: int
    expirations: int
    too_large: int
    compute_seconds: float
    compute_seconds_saved: float

    @classmethod
    def _of(cls, message: Any) -> "CacheInfo":
        info = cls(*(getattr(message, field) for field in cls._fields))
        return info if message.HasField("maxsize") else info._replace(maxsize=None)


class Lost(NamedTuple):
    """Why a session is lost, as its stream ended."""

    code: grpc.StatusCode
    details: str
    error: Optional[str]  # which of memod's own errors, as in "SESSION_CLOSED"
