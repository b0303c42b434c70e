"""memoctl beside a real memod: a session held from the command line, and all that an administrator
sees and does. How it prints and what it refuses is tests/client/memoctl_test.cc's."""

import json
import pathlib
import signal
import subprocess
import tempfile
import unittest

import grpc

from harness import CALCULATE, DESCRIBE, ENVIRONMENT, FIBONACCI, MEMOCTL, SOON, SOURCE_DIR, Memod
from harness import adder, dataset_pb2, fibonacci, metadata_of, numbers

CACHE_INFO = """hits misses maxsize currsize coalesced computations errors bytes evictions
    expirations too_large compute_seconds_saved policy compute_seconds""".split()
POLICY = """max_entries max_entries_total max_entry_bytes ttl compute_timeout coalesce scope
    typed cache key_metadata forward key_mode key_ignore answer_metadata negative
    stale_if_error""".split()
GAUGES = """sessions instances flights entries bytes holders leases incarnations waiters timers
    reactors queued unsent_bytes builds calls""".split()
RECEIPT = ["entries", "bytes", "compute_seconds"]
SESSION = "session_id state_type peer age total sharing holders leased resumable".split()
CALL = "answer memo_cache memo_age seconds status message memo_error".split()
TOP_ROW = """calls_per_second hits_per_second computations_per_second hit_ratio mean_compute_seconds
    info""".split()


class MemoctlTest(unittest.TestCase):
    def setUp(self):
        self.memod = self.enterContext(Memod())
        self.client = self.enterContext(self.memod.client())
        self.environment = {
            **ENVIRONMENT,
            "MEMOCTL_SERVER": self.memod.address,
            "MEMOCTL_ADMIN": self.memod.admin_address,
        }

    def run_memoctl(self, *arguments):
        return subprocess.run(
            [MEMOCTL, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SOON,
        )

    def json(self, *arguments):
        run = self.run_memoctl(*arguments, "-o", "json")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return json.loads(run.stdout)

    def open(self, *arguments):
        """A memoctl that holds a session, and how to call on it."""
        holder = subprocess.Popen(
            [MEMOCTL, "open", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.enterContext(holder)
        self.addCleanup(holder.kill)
        (first, handle), (second, session) = (holder.stdout.readline().split() for _ in "12")
        self.assertEqual((first, second), ("handle", "session"))
        return holder, session, [("memo-session", handle)]

    def keys(self, message, names):
        """Scripts rely on them: these, in this order."""
        self.assertEqual(list(message), list(names))

    def test_interrupted_open_closes_its_session_and_says_what_it_held(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            holder, session, metadata = self.open("memo.examples.v1.SlowAdderState", "delay=0.1s")
            self.assertEqual(self.client.call(CALCULATE, numbers(40, 2), metadata).sum, 42)
            holder.send_signal(number)
            out, err = holder.communicate(timeout=SOON)
            self.assertEqual((holder.returncode, out), (0, ""), err)
            self.assertRegex(err, r"^released 1 entry, \d+ B, 1\d\dms of computation\n$")
            line = self.memod.wait_for_log("session closed", session=session)
            self.assertEqual(line["reason"], "closed by client")

    def test_killed_open_ends_its_session(self):
        holder, session, _ = self.open("memo.examples.v1.SlowAdderState")
        holder.kill()
        line = self.memod.wait_for_log("session closed", session=session)
        self.assertEqual(line["reason"], "client gone")

    def test_open_reads_a_file_into_the_state(self):
        path = SOURCE_DIR / "tests/data/seattle-weather.csv"
        _, session, metadata = self.open("memo.examples.v1.DatasetState", f"csv=@{path}")
        request = dataset_pb2.DescribeRequest(column="temp_max")
        self.assertEqual(self.client.call(DESCRIBE, request, metadata).count, 1461)
        listed = self.json("sessions")["sessions"]
        self.assertEqual([each["session_id"] for each in listed], [session])
        self.assertEqual(listed[0]["state_type"], "memo.examples.v1.DatasetState")

    def test_close_ends_whoever_holds_the_session(self):
        holder, session, metadata = self.open("memo.examples.v1.SlowAdderState")
        self.client.call(FIBONACCI, fibonacci(10), metadata)
        receipt = self.json("close", session)
        self.keys(receipt, RECEIPT)
        self.assertEqual(receipt["entries"], 11)
        self.assertEqual(holder.wait(SOON), 1)
        self.assertIn("ABORTED: lost the session: an administrator closed", holder.stderr.read())
        with self.assertRaises(grpc.RpcError) as refused:
            self.client.call(CALCULATE, numbers(1), metadata)
        self.assertEqual(metadata_of(refused.exception)["memo-error"], "SESSION_NOT_FOUND")
        again = self.run_memoctl("close", session)
        self.assertEqual((again.returncode, again.stdout), (1, ""))
        self.assertIn(f'NOT_FOUND: no open session "{session}"', again.stderr)

    def test_info_counts_at_every_level(self):
        first, second = self.client.open(adder()), self.client.open(adder())
        for session in (first, first, second):
            session.call(CALCULATE, numbers(1))
        second.call(FIBONACCI, fibonacci(1))

        def counted(*scope):
            info = self.json("info", *scope)
            self.keys(info, ["total", "methods", "gauges", "memory"])
            return [info["total"][name] for name in ("hits", "misses", "currsize")]

        self.assertEqual(counted(), [1, 3, 3])
        self.assertEqual(counted("--session", first.id), [1, 1, 1])
        self.assertEqual(counted("--method", CALCULATE), [1, 2, 2])
        self.assertEqual(counted("--session", second.id, "--method", CALCULATE), [0, 1, 1])
        info = self.json("info", "--session", second.id)
        self.keys(info["total"], CACHE_INFO)
        self.keys(info["methods"][0], ["method", "info"])
        self.keys(info["methods"][0]["info"]["policy"], POLICY)
        self.keys(info["gauges"], GAUGES)
        self.assertEqual(info["gauges"]["sessions"], 2)
        self.assertRegex(self.run_memoctl("info").stdout, r"SlowAdder/Calculate +1 +2 ")

    def test_clear_drops_what_it_names_and_no_more(self):
        first, second = self.client.open(adder()), self.client.open(adder())
        for session in (first, second):
            session.call(CALCULATE, numbers(1))
            session.call(FIBONACCI, fibonacci(1))
        receipt = self.json("clear", "--session", first.id, "--method", CALCULATE)
        self.keys(receipt, RECEIPT)
        self.assertEqual(receipt["entries"], 1)
        self.assertEqual(first.cached(FIBONACCI, fibonacci(1)), "hit")
        self.assertEqual(second.cached(CALCULATE, numbers(1)), "hit")
        self.assertEqual(first.cached(CALCULATE, numbers(1)), "miss")
        self.assertEqual(self.json("clear")["entries"], 4)
        self.assertEqual(self.json("info")["gauges"]["entries"], 0)

    def test_methods_are_listed_with_their_policies(self):
        methods = self.json("methods")
        self.keys(methods, ["methods"])
        names = [each["method"] for each in methods["methods"]]
        self.assertEqual(names, sorted(names))
        self.assertLessEqual({CALCULATE, FIBONACCI, DESCRIBE}, set(names))
        described = methods["methods"][0]
        self.keys(described, "method request_type response_type state_type policy upstream".split())
        self.keys(described["policy"], POLICY)

    def call(self, *arguments):
        """What each call says, a line each."""
        run = self.run_memoctl("call", *arguments)
        self.assertEqual(run.returncode, 0, run.stderr)
        return [line.split(",")[0] for line in run.stderr.splitlines()]

    def test_call_misses_once_and_then_hits(self):
        request = '{"numbers": [40, 2]}'
        adder_of_its_own = ("--open", "memo.examples.v1.SlowAdderState", "delay=0.01s")
        said = self.call(CALCULATE, request, *adder_of_its_own, "--repeat", "3")
        self.assertEqual(said, ["miss", "hit (age 0 s)", "hit (age 0 s)"])
        self.assertEqual(self.json("info")["gauges"]["sessions"], 0)

        session = self.client.open(adder())
        self.environment["MEMO_SESSION"] = session.handle
        self.assertEqual(self.call(CALCULATE, request), ["miss"])
        self.assertEqual(self.call(CALCULATE, request, "--control", "bypass"), ["bypass"])
        answered = self.json("call", CALCULATE, request)
        self.keys(answered, CALL)
        self.assertEqual(answered["answer"], {"sum": 42})
        self.assertEqual((answered["memo_cache"], answered["status"]), ("hit", "OK"))

        session.close()
        run = self.run_memoctl("call", CALCULATE, request)
        self.assertEqual((run.returncode, run.stdout), (1, ""))
        self.assertIn("(memo-error: SESSION_NOT_FOUND)", run.stderr)

    def test_call_takes_what_open_prints_as_its_session(self):
        holder, _, metadata = self.open("memo.examples.v1.SlowAdderState")
        path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()), "session")
        path.write_text(f"handle   {metadata[0][1]}\nsession  whatever\n")
        self.assertEqual(self.call(FIBONACCI, '{"n": 1}', "--session-file", str(path)), ["miss"])

    def test_forget_drops_one_entry(self):
        session = self.client.open(adder())
        for each in (1, 2):
            session.call(CALCULATE, numbers(each))
        receipt = self.json("forget", CALCULATE, '{"numbers": [1]}', "--session", session.id)
        self.keys(receipt, RECEIPT)
        self.assertEqual(receipt["entries"], 1)
        self.assertEqual(session.cached(CALCULATE, numbers(2)), "hit")
        self.assertEqual(session.cached(CALCULATE, numbers(1)), "miss")

    def test_explain_says_what_is_remembered_and_why_calls_differ(self):
        session = self.client.open(adder())
        session.call(CALCULATE, numbers(1))
        two = ('{"numbers": [1]}', '{"numbers": [2]}')
        explained = self.json("explain", CALCULATE, *two, "--session", session.id)
        self.keys(explained, "key other equal differences".split())
        self.keys(explained["key"], "parts left_out remembered age".split())
        self.keys(explained["key"]["parts"][0], "name value digest bytes".split())
        self.assertTrue(explained["key"]["remembered"])
        self.assertFalse(explained["other"]["remembered"])
        self.assertFalse(explained["equal"])
        self.assertTrue(explained["differences"])
        self.assertNotIn(session.handle, json.dumps(explained))

    def test_sessions_and_top_have_stable_names(self):
        session = self.client.open(adder())
        session.call(CALCULATE, numbers(1))
        self.keys(self.json("sessions")["sessions"][0], SESSION)
        top = self.json("top", "--interval", "100ms")
        self.keys(top, "seconds gauges total methods sessions".split())
        self.keys(top["total"], TOP_ROW)
        self.keys(top["methods"][0], ["method", *TOP_ROW])
        self.keys(top["sessions"][0], ["session_id", *TOP_ROW, "state_type", "age"])
        self.assertEqual(top["sessions"][0]["session_id"], session.id)

    def test_stopping_server_is_told_to_who_holds_a_session(self):
        holder, _, _ = self.open()
        self.assertEqual(self.memod.stop(), 0)
        self.assertEqual(holder.wait(SOON), 1)
        said = holder.stderr.read()
        self.assertIn("the server is about to stop", said)
        self.assertIn("UNAVAILABLE: lost the session", said)
        run = self.run_memoctl("info")
        self.assertEqual(run.returncode, 1)
        self.assertIn(self.memod.admin_address, run.stderr)

    def test_session_lost_with_its_server_is_not_put_down_to_tls(self):
        holder, _, _ = self.open()
        self.memod.stop(signal.SIGKILL)
        self.assertEqual(holder.wait(SOON), 1)
        said = holder.stderr.read()
        self.assertIn("UNAVAILABLE: lost the session", said)
        self.assertNotIn("TLS", said)


if __name__ == "__main__":
    unittest.main()
