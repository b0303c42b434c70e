"""The suite's own sums, words and ways of going wrong; nothing is measured."""

import contextlib
import io
import json
import os
import pathlib
import re
import stat
import tempfile
import unittest
import xml.etree.ElementTree
from unittest import mock

import chart
import harness
import load
import main
import page
import rows
import table
from table import Line, Result, Target

LINE = Line("1", "hits", "hits/s", "bare gRPC", Target(">=", 1.0))


def measured(*ratios, line=LINE):
    return Result(line, tuple((ratio * 1000, 1000) for ratio in ratios))


class TableTest(unittest.TestCase):
    def test_ratio_is_the_median_of_the_pairs_not_of_the_sides(self):
        result = Result(LINE, ((10, 10), (200, 100), (9000, 3000)))
        self.assertEqual(result.ratio, 2)
        self.assertEqual(result.memod, 200)
        self.assertEqual(result.other, 100)

    def test_spread_is_the_quartiles(self):
        self.assertEqual(measured(5, 1, 4, 2, 3).spread, (2, 4))
        self.assertEqual(measured(7).spread, (7, 7))

    def test_met_is_told_of_the_ratio_itself(self):
        for sign, ratio, met in (
            (">=", 1.0, True),
            (">=", 0.9999, False),
            ("<=", 1.0, True),
            ("<=", 1.0001, False),
            ("=", 1.0, True),
            ("=", 2.0, False),
            ("", 5.0, None),
        ):
            with self.subTest(sign=sign, ratio=ratio):
                line = Line("1", "", "", "", Target(sign, 1.0))
                self.assertIs(measured(ratio, line=line).met, met)

    def test_line_takes_its_own_pairs_alone(self):
        lines = [LINE, Line("1", "hits", "hits/s", "Redis"), Line("2", "hits", "hits/s", "bare gRPC")]
        pairs = [
            {"row": "1", "figure": "hits/s", "memod": 3, "other": 1, "against": "bare gRPC"},
            {"row": "1", "figure": "hits/s", "memod": 4, "other": 1, "against": "Redis"},
            {"row": "1", "figure": "p50 us", "memod": 9, "other": 1, "against": "bare gRPC"},
        ]
        found = table.results(lines, pairs, {"2": "no such thing here"})
        self.assertEqual([result.pairs for result in found], [((3, 1),), ((4, 1),), ()])
        self.assertIn("not measured: no such thing here", table.text(found))

    def test_line_that_its_program_forgot_is_not_dropped(self):
        (result,) = table.results([LINE], [], {})
        self.assertIn("not measured: its program printed no such figure", table.text([result]))
        self.assertIsNone(result.met)

    def test_target_that_is_not_met_says_so(self):
        said = table.text([measured(0.5)]).splitlines()[1]
        self.assertRegex(said, r"bare gRPC +500 +1,000 +0\.50 +0\.50\.\.0\.50 +>= 1 +not met$")
        self.assertIn("**not met**", table.markdown([measured(0.5)]))
        self.assertRegex(table.markdown([measured(1.5)]), r"\| met \|$")

    def test_rows_of_the_table_are_all_measured_and_each_once(self):
        by_measurement = [row for measurement in rows.MEASUREMENTS for row in measurement.rows]
        self.assertEqual(sorted(by_measurement), sorted(set(line.row for line in rows.LINES)))
        keys = [line.key for line in rows.LINES]
        self.assertEqual(len(keys), len(set(keys)))


class ChartTest(unittest.TestCase):
    def test_right_of_the_target_is_better_whatever_is_asked(self):
        at_most, at_least = Target("<=", 2.0), Target(">=", 2.0)
        self.assertGreater(chart.x_of(at_most.score(1)), chart.x_of(1))
        self.assertLess(chart.x_of(at_most.score(3)), chart.x_of(1))
        self.assertGreater(chart.x_of(at_least.score(3)), chart.x_of(1))
        self.assertLess(chart.x_of(Target("=", 1).score(2)), chart.x_of(1))

    def test_what_is_off_the_scale_is_at_its_end(self):
        self.assertEqual(chart.x_of(1e9), chart.RIGHT)
        self.assertEqual(chart.x_of(1e-9), chart.LEFT)

    def test_picture_is_whole_and_tells_met_from_not_met_without_colour(self):
        found = [measured(2), measured(0.5), Result(LINE, why="<nothing> & \"nobody\"")]
        picture = chart.svg(found, table.figure)
        root = xml.etree.ElementTree.fromstring(picture)
        circles = [node.get("class") for node in root.iter() if node.tag.endswith("circle")]
        self.assertEqual(circles, ["dot met", "dot not"])
        self.assertIn("not measured: <nothing> & \"nobody\"", "".join(root.itertext()))


class PageTest(unittest.TestCase):
    def test_everything_is_filled_in(self):
        text = page.TEXT.read_text()
        self.assertEqual(set(re.findall(r"{{(\w+)}}", text)), {"machine", "table", "met", "chart"})
        effort = {"rounds": 3, "seconds": 0.5}
        filled = page.filled(text, {"effort": effort, "machine": {"CPU": "a good one"}}, [measured(2)])
        self.assertNotIn("{{", filled)
        self.assertIn("a good one", filled)
        self.assertIn("1 of 1", filled)

    def test_every_row_is_explained(self):
        measured = page.TEXT.read_text().partition("## Targets that are not met")[0]
        headings = re.findall(r"(?m)^\*\*([\w, ]+)\*\*", measured)
        self.assertEqual(sorted(", ".join(headings).split(", ")), sorted(main.ROWS))


class ProgramTest(unittest.TestCase):
    """Programs that go wrong are told of in the table, and end nothing else."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        patch = mock.patch.object(harness, "PROGRAMS", self.folder)
        patch.start()
        self.addCleanup(patch.stop)

    def program(self, name, script):
        path = self.folder / name
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def why(self, name, **options):
        with self.assertRaises(harness.CannotRun) as raised:
            harness.run_program(name, **options)
        return str(raised.exception)

    def test_lines_are_read(self):
        self.program("good", """echo '{"row": "1"}'; echo noise >&2; echo '{"row": "2"}'""")
        self.assertEqual(harness.run_program("good"), [{"row": "1"}, {"row": "2"}])

    def test_options_are_passed(self):
        self.program("good", 'echo "[\\"$*\\"]"')
        self.assertEqual(harness.run_program("good", "--rounds", 3), [["--rounds 3"]])

    def test_failure_is_told_with_its_last_word(self):
        self.program("bad", "echo hello >&2; echo no luck >&2; exit 3")
        self.assertEqual(self.why("bad"), "bad ended with 3: no luck")
        self.program("silent", "exit 1")
        self.assertEqual(self.why("silent"), "silent ended with 1: without a word")

    def test_what_is_no_json_is_told(self):
        self.program("chatty", "echo hits: 3")
        self.assertIn("chatty printed what is no JSON line", self.why("chatty"))

    def test_what_does_not_end_is_ended(self):
        self.program("slow", "exec sleep 600")
        self.assertEqual(self.why("slow", timeout=0.1), "slow took more than 0.1 s")

    def test_what_is_not_there_is_told(self):
        self.assertEqual(self.why("nobody"), "nobody is not built here")

    def test_row_that_cannot_run_leaves_the_others(self):
        self.program("bad", "exit 1")
        pair = rows.pair("1", "hits/s", 2, 1, "bare gRPC")
        measurements = [
            rows.program("bad", "2"),
            rows.Measurement(("1",), lambda effort: [pair]),
        ]
        with mock.patch.object(rows, "MEASUREMENTS", measurements), contextlib.redirect_stderr(io.StringIO()):
            pairs, reasons = main.measure(["1", "2"], main.QUICK)
        self.assertEqual(pairs, [pair])
        self.assertEqual(reasons, {"2": "bad ended with 1: without a word"})


class ProcessTest(unittest.TestCase):
    def test_process_is_gone_after_its_block(self):
        with harness.Process(["sleep", "600"], cpu=harness.SERVER_CPU) as process:
            self.assertEqual(os.sched_getaffinity(process.pid), {harness.SERVER_CPU})
        with self.assertRaises(ProcessLookupError):
            os.kill(process.pid, 0)

    def test_process_that_will_not_stop_is_killed(self):
        script = "trap '' TERM; echo ready; while :; do sleep 0.01; done"
        with mock.patch.object(harness, "PATIENCE", 0.1), harness.Process(["sh", "-c", script]) as process:
            process.wait_until(process.output, "word")
        with self.assertRaises(ProcessLookupError):
            os.kill(process.pid, 0)

    def test_server_that_ends_at_once_is_told_with_its_last_word(self):
        with self.assertRaisesRegex(harness.CannotRun, "sh has ended: no such port"):
            with harness.Process(["sh", "-c", "echo no such port; exit 1"]) as process:
                process.wait_until(lambda: False, "port")

    def test_program_that_is_not_installed_is_told(self):
        with self.assertRaisesRegex(harness.CannotRun, "/nowhere/nginx: No such file"):
            with harness.Process(["/nowhere/nginx"]):
                pass


class LoadTest(unittest.TestCase):
    REPORT = """finished in 1.00s, {rate} req/s, 1.0MB/s
requests: {done} total, {done} started, {done} done, {ok} succeeded, {failed} failed, 0 errored, 0 timeout
traffic: 1.00MB (1000) total, 2.52KB (100) headers (space savings 95%), 1MB ({data}) data
"""

    def read(self, done=100, ok=100, failed=0, data=6900):
        report = self.REPORT.format(rate="123.45", done=done, ok=ok, failed=failed, data=data)
        return load.read_report(report, 64)

    def test_rate_of_answers_that_are_whole(self):
        self.assertEqual(self.read(), 123.45)

    def test_answers_that_failed_are_no_rate(self):
        for wrong in ({"ok": 99, "failed": 1}, {"done": 0, "ok": 0}, {"data": 6899}):
            with self.subTest(wrong=wrong), self.assertRaises(harness.CannotRun):
                self.read(**wrong)
        with self.assertRaisesRegex(harness.CannotRun, "value error"):
            load.read_report("-D: value error\n", 64)

    def test_message_is_framed(self):
        self.assertEqual(load.message(b"ab"), b"\0\0\0\0\4\x0a\2ab")


class MainTest(unittest.TestCase):
    def files(self, *parts):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for i, part in enumerate(parts):
            path = pathlib.Path(folder.name, str(i))
            path.write_text(json.dumps({"machine": {}, "effort": {}, "reasons": {}} | part))
            yield path

    def test_files_are_put_together_and_the_last_of_a_row_counts(self):
        old, new = rows.pair("1", "a", 1, 1, "b"), rows.pair("1", "a", 2, 1, "b")
        other = rows.pair("2", "a", 3, 1, "b")
        whole = main.merged(self.files({"pairs": [old], "reasons": {"2": "why"}}, {"pairs": [new, other]}))
        self.assertEqual(whole["pairs"], [new, other])
        self.assertEqual(whole["reasons"], {})

    def test_row_that_there_is_not_is_refused(self):
        with contextlib.redirect_stderr(io.StringIO()) as said, self.assertRaises(SystemExit):
            main.arguments(["--rows", "1,99"])
        self.assertIn("no row '99': there are 1, 2,", said.getvalue())


if __name__ == "__main__":
    unittest.main()
