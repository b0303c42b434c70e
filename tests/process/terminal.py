"""A program in a terminal of its own, and what it shows there: a pty, and pyte as the terminal."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pyte

from harness import ENVIRONMENT, SOON


class Terminal:
    """with Terminal(["memoctl", "top"]) as terminal: terminal.wait_for("q quit")"""

    def __init__(self, command, rows=24, columns=80, env=None):
        self._master, self._slave = pty.openpty()
        self.screen = pyte.Screen(columns, rows)
        self.raw = b""  # all that the program wrote
        self._stream = pyte.ByteStream(self.screen)
        self._set_size(rows, columns)
        self.modes = termios.tcgetattr(self._slave)
        self.process = subprocess.Popen(
            command,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**ENVIRONMENT, "TERM": "xterm-256color", **(env or {})},
            preexec_fn=self._take_terminal,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)

    def lines(self):
        """What is shown now, without trailing spaces."""
        return [line.rstrip() for line in self.screen.display]

    def text(self):
        return "\n".join(self.lines())

    def type(self, keys):
        os.write(self._master, keys.encode())

    def resize(self, rows, columns):
        self.screen.resize(rows, columns)
        self._set_size(rows, columns)
        self.process.send_signal(signal.SIGWINCH)  # as a real terminal makes the kernel do

    def wait_for(self, what, shown=None):
        """Until the text, or shown(lines), is there; returns the lines."""
        shown = shown or (lambda lines: any(what in line for line in lines))
        deadline = time.monotonic() + SOON
        while not shown(self.lines()):
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"no {what!r} on the screen:\n{self.text()}")
        return self.lines()

    def wait(self):
        """Its exit code, when all that it wrote is read."""
        deadline = time.monotonic() + SOON
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.01)
        while self._read(0):
            pass
        return self.process.wait(0)

    def is_as_before(self):
        """Whether its modes are those before the program, and the cursor and main screen are back."""
        tail = self.raw[self.raw.rfind(b"\x1b[?1049") :]
        return (
            termios.tcgetattr(self._slave) == self.modes
            and tail.startswith(b"\x1b[?1049l")
            and self.raw.rfind(b"\x1b[?25h") > self.raw.rfind(b"\x1b[?25l")
        )

    def _read(self, seconds):
        ready, _, _ = select.select([self._master], [], [], max(seconds, 0))
        if not ready:
            return False
        data = os.read(self._master, 65536)
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    def _set_size(self, rows, columns):
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _take_terminal(self):
        os.setsid()
        fcntl.ioctl(self._slave, termios.TIOCSCTTY, 0)
