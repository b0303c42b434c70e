"""A thread that does what others must not do themselves."""

import logging
import os
import queue
import threading
from typing import Callable, Optional

_log = logging.getLogger("memo")


class Worker:
    """Does what it is given, one after the other, on a daemon thread that starts with `start`.

    `put` takes no lock that its caller could hold already: SimpleQueue's is made to be called from
    within itself. So it may run in a finalizer, which Python runs in the middle of anything.

    A forked child has none of its parent's threads: there the worker has yet to be started.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._queue: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()

    def put(self, task: Callable[[], object]) -> None:
        self._queue.put(task)

    def _work(self) -> None:
        while True:
            task = self._queue.get()
            try:
                task()
            except Exception:
                _log.exception("exception in %s", self._name)
            del task  # and what it holds, before waiting for the next
