"""A thread that does what others must not do themselves."""

import heapq
import itertools
import logging
import os
import queue
import threading
import time
from typing import Any, Callable, List, Optional, Tuple

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
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                thread.start()  # which may fail
                self._thread = thread

    def put(self, task: Callable[[], object]) -> None:
        self._queue.put(task)

    def _work(self) -> None:
        while True:
            self._do(self._queue.get())

    def _do(self, task: Callable[[], object]) -> None:
        try:
            task()
        except BaseException:
            _log.exception("exception in %s", self._name)


class Timer(Worker):
    """A worker that does each task when it is due."""

    _order = itertools.count()  # of those due at once

    def at(self, due: float, task: Callable[[], object]) -> None:
        """due: by time.monotonic."""
        self._queue.put((due, next(self._order), task))

    def put(self, task: Callable[[], object]) -> None:
        self.at(0.0, task)

    def _work(self) -> None:
        waiting: List[Tuple[float, int, Callable[[], object]]] = []
        while True:
            pause = waiting[0][0] - time.monotonic() if waiting else None
            if pause is not None and pause <= 0:
                self._do(heapq.heappop(waiting)[-1])
                continue
            try:
                heapq.heappush(waiting, self._queue.get(timeout=pause))
            except queue.Empty:
                pass
