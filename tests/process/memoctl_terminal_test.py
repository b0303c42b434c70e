"""memoctl top and watch in a terminal: what they show, how they end, and that the terminal is as
before. What they make of the figures is tests/client/top_test.cc's."""

import json
import re
import signal
import subprocess
import unittest

from harness import CALCULATE, ENVIRONMENT, MEMOCTL, SOON, Memod, adder, numbers
from terminal import Terminal

KEYS = "q quit"


class MemoctlTerminalTest(unittest.TestCase):
    def setUp(self):
        self.memod = self.enterContext(Memod())
        self.client = self.enterContext(self.memod.client())
        self.environment = {"MEMOCTL_ADMIN": self.memod.admin_address}

    def terminal(self, *arguments, rows=24, columns=80, **environment):
        command = [MEMOCTL, *arguments, "--interval", "100ms"]
        return Terminal(command, rows, columns, {**self.environment, **environment})

    def ended(self, terminal, code=0):
        self.assertEqual(terminal.wait(), code)
        self.assertTrue(terminal.is_as_before())

    def test_top_follows_what_happens(self):
        session = self.client.open(adder())
        with self.terminal("top") as top:
            top.wait_for(f"{session.id}  SlowAdderState")
            top.wait_for("sessions 1, instances 1, flights 0, entries 0")
            session.call(CALCULATE, numbers(1))
            top.wait_for("entries 1")
            session.close()
            top.wait_for("sessions 0")
            self.assertNotIn(session.handle.encode(), top.raw)

    def test_top_redraws_in_place_and_fits(self):
        sessions = [self.client.open(adder()) for _ in range(40)]
        for rows, columns in ((24, 80), (50, 200)):
            with self.terminal("top", rows=rows, columns=columns) as top:
                top.wait_for("third frame", lambda _: top.raw.count(b"\x1b[?2026l") >= 3)
                lines = top.lines()
                self.assertTrue(lines[0].startswith(f"memod at {self.memod.admin_address}"))
                self.assertIn(KEYS, lines[-1])
                self.assertEqual(sum("SLOWEST METHODS" in line for line in lines), 1)
                top.type("q")
                self.ended(top)
        del sessions

    def test_keys_change_the_order_and_the_pace(self):
        with self.terminal("top") as top:
            top.wait_for("SESSIONS BY BYTES")
            top.type("s")
            top.wait_for("SESSIONS BY CALLS/S")
            top.type("+")
            top.wait_for("every 200ms")
            top.type("-")
            top.wait_for("every 100ms")

    def test_another_size_is_drawn_anew(self):
        with self.terminal("top") as top:
            top.wait_for(KEYS)
            top.resize(16, 60)
            top.wait_for("the keys in the last line", lambda lines: KEYS in lines[15])
            top.resize(30, 120)
            top.wait_for("a wide bar", lambda lines: any(len(line) == 120 for line in lines))

    def test_every_way_out_gives_the_terminal_back(self):
        for command in (("top",), ("watch", "info")):
            for leave in (
                lambda terminal: terminal.type("q"),
                lambda terminal: terminal.type("\x03"),  # Ctrl-C
                lambda terminal: terminal.process.send_signal(signal.SIGINT),
                lambda terminal: terminal.process.send_signal(signal.SIGTERM),
                lambda terminal: terminal.process.send_signal(signal.SIGHUP),
            ):
                with self.terminal(*command) as terminal:
                    terminal.wait_for(KEYS)
                    leave(terminal)
                    self.ended(terminal)

    def test_frozen_server_does_not_hold_up_the_way_out(self):
        with self.terminal("top") as top:
            top.wait_for(KEYS)
            self.memod.send(signal.SIGSTOP)
            try:
                frames = top.raw.count(b"\x1b[?2026l")
                top.type("s")  # still drawn, from what is known
                top.wait_for("a frame", lambda _: top.raw.count(b"\x1b[?2026l") > frames)
                top.type("q")
                self.ended(top)
            finally:
                self.memod.send(signal.SIGCONT)

    def test_stopped_server_is_told_and_the_last_figures_stay(self):
        with self.terminal("top") as top:
            top.wait_for(KEYS)
            self.memod.stop()
            top.wait_for("UNAVAILABLE: admin port")
            top.wait_for("SLOWEST METHODS")
            top.type("q")
            self.ended(top)

    def test_server_that_is_not_there_leaves_the_terminal_alone(self):
        with self.terminal("top", MEMOCTL_ADMIN="127.0.0.1:1") as top:
            self.assertEqual(top.wait(), 1)
            self.assertIn("memoctl: UNAVAILABLE: admin port 127.0.0.1:1", top.text())
            self.assertNotIn(b"\x1b", top.raw)

    def test_stop_gives_the_terminal_back_until_it_goes_on(self):
        environment = {**self.environment, "PS1": "shell> "}
        with Terminal(["bash", "--norc", "--noprofile", "-i"], env=environment) as shell:
            shell.type(f"{MEMOCTL} top --interval 100ms\n")
            shell.wait_for(KEYS)
            shell.type("\x1a")  # Ctrl-Z
            shell.wait_for("Stopped")
            left = shell.raw.count(b"\x1b[?1049l")
            self.assertEqual(left, shell.raw.count(b"\x1b[?1049h"))
            shell.type("fg\n")
            shell.wait_for(KEYS, lambda _: shell.raw.count(b"\x1b[?1049h") > left)
            shell.type("q")
            shell.wait_for("the screen", lambda _: shell.raw.count(b"\x1b[?1049l") > left)
            shell.type("echo code $?\n")
            shell.wait_for("code 0")

    def test_colors_are_left_out_when_asked(self):
        for environment, colors in (({}, True), ({"NO_COLOR": "1"}, False)):
            with self.terminal("top", **environment) as top:
                top.wait_for(KEYS)
                self.assertEqual(b"\x1b[7m" in top.raw, colors)

    def test_watch_repeats_in_place(self):
        session = self.client.open(adder())
        with self.terminal("watch", "info", "--session", session.id, columns=100) as watch:
            watch.wait_for("SlowAdder/Calculate     0       0")
            session.call(CALCULATE, numbers(1))
            watch.wait_for("SlowAdder/Calculate     0       1")
            self.assertEqual(sum("METHOD " in line for line in watch.lines()), 1)
            session.close()
            watch.wait_for(f'NOT_FOUND: no open session "{session.id}"')

    def pipe(self, *arguments):
        """memoctl without a terminal."""
        process = subprocess.Popen(
            [MEMOCTL, *arguments, "--interval", "100ms"],
            env={**ENVIRONMENT, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.enterContext(process)
        self.addCleanup(process.kill)
        return process

    def test_watch_without_a_terminal_prints_one_after_the_other(self):
        watch = self.pipe("watch", "info", "-o", "json")
        for _ in range(3):
            self.assertEqual(json.loads(watch.stdout.readline())["gauges"]["sessions"], 0)
        text = self.pipe("watch", "methods")
        for _ in range(2):
            while not text.stdout.readline().startswith("METHOD "):
                pass

    def test_top_without_a_terminal_prints_one_interval(self):
        session = self.client.open(adder())
        out, err = self.pipe("top").communicate(timeout=SOON)
        self.assertEqual(err, "")
        self.assertNotIn("\x1b", out)
        self.assertNotIn(KEYS, out)
        self.assertRegex(out, rf"\n{re.escape(session.id)}  SlowAdderState ")


if __name__ == "__main__":
    unittest.main()
