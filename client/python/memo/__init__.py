"""Client of memod, the memoizing gRPC server. A session is `self` made remote: open it with state,
call your own methods on it, and let go of it.

    with grpc.insecure_channel("127.0.0.1:7070", memo.KEEPALIVE) as channel:
        with memo.open_session(channel, state) as session:
            adder = SlowAdderStub(session.channel)  # your own stub
            adder.Calculate(request)  # takes its time; at once when asked again
        # the server has forgotten all of it

An object that keeps a session, as in `self.session = memo.open_session(...)`, needs no `with`: when
the object is collected the session ends. It needs no `__del__` either.
"""

from pkgutil import extend_path

# protoc may have put memo/ folders elsewhere as well: those of memo.examples, for one.
__path__ = extend_path(__path__, __name__)

from memo._metadata import Control, age, cache_status, control, error
from memo._results import CacheInfo, Lost, Receipt
from memo._session import Session, open_session

# Options of a channel that holds sessions.
#
# A connection that was silent for 10 s is asked whether it lives, and given up 3 s later: a server
# that vanished is noticed. Without it, a session on it would look open for hours. One that comes
# back is found within 2 s.
KEEPALIVE = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
# A connection that this channel shares with no other; gRPC's channels share one by default.
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)

__all__ = [
    "KEEPALIVE",
    "OWN_CONNECTION",
    "CacheInfo",
    "Control",
    "Lost",
    "Receipt",
    "Session",
    "age",
    "cache_status",
    "control",
    "error",
    "open_session",
]
