"""The end of the process.

It closes the connections, which ends the sessions: the server needs no telling, but where it keeps
what has lost its connection for a while (session.resume_window).
"""

import atexit
import os
import time
import weakref
from typing import Iterator, Set

from memo._hold import Hold

_LONGEST = 1.0  # seconds that the exit may take for it

# Each is there until the server has been told, or not needed to be.
_holds: "Set[weakref.ref[Hold]]" = set()


def let_go_at_exit(hold: Hold) -> None:
    _holds.add(weakref.ref(hold, _holds.discard))


def _lingering() -> Iterator[Hold]:
    for known in list(_holds):
        hold = known()
        # A forked child has its parent's as well.
        if hold is not None and hold.process == os.getpid() and hold.lingers:
            yield hold


def _let_go() -> None:
    deadline = time.monotonic() + _LONGEST
    ours = list(_lingering())
    for hold in ours:
        hold.release()
    for hold in ours:
        hold.told.wait(max(0.0, deadline - time.monotonic()))


atexit.register(_let_go)
