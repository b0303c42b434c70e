"""Reflection through memod: services that it hosts and those of upstreams, together."""

import contextlib
import json
import os
import subprocess
import time
import unittest

import grpc
from google.protobuf import descriptor_pb2

import reflection_pb2
from fake_reflection import FakeReflection, service_file
from harness import SOON, Memod, eventually
from reflection_test import Buf

HOSTED = {"memo.examples.v1.SlowAdder", "memo.examples.v1.Dataset"}
OWN = {"memo.v1.SessionService", "memo.v1.PipelineService", "grpc.health.v1.Health"} | {
    f"grpc.reflection.{version}.ServerReflection" for version in ("v1", "v1alpha")
}
INFO = "/grpc.reflection.{}.ServerReflection/ServerReflectionInfo"


@contextlib.contextmanager
def pricing_server(port=0):
    """Yields the port of a server with gRPC's own reflection, which is v1alpha."""
    command = [os.environ["PRICING_SERVER"], f"127.0.0.1:{port}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        yield int(server.stdout.readline())
        server.stdin.close()


def upstream(name, port, services=None, more=""):
    listed = "" if services is None else f"services = {json.dumps(services)}\n"
    return f'[[upstream]]\nname = "{name}"\ntarget = "127.0.0.1:{port}"\n{listed}{more}'


class UpstreamReflectionTest(unittest.TestCase):
    def setUp(self):
        self.buf = Buf(self)

    def fake(self, *files, **switches):
        fake = FakeReflection(files, **switches)
        self.addCleanup(fake.close)
        return fake

    def serve(self, config):
        self.memod = self.enterContext(Memod("--log.level=debug", config=config))
        self.client = self.enterContext(self.memod.client())

    def ask(self, *questions, version="v1"):
        """The answers to questions on one stream."""
        call = self.client.channel.stream_stream(
            INFO.format(version),
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        asked = (reflection_pb2.ServerReflectionRequest(**question) for question in questions)
        return list(call(asked, timeout=SOON))

    def services(self, version="v1"):
        (answer,) = self.ask({"list_services": ""}, version=version)
        names = [each.name for each in answer.list_services_response.service]
        self.assertEqual(len(names), len(set(names)))
        return set(names)

    def files(self, answer):
        """The files of an answer, their contents by their names."""
        sent = answer.file_descriptor_response.file_descriptor_proto
        files = [descriptor_pb2.FileDescriptorProto.FromString(each) for each in sent]
        return {file.name: file for file in files}

    def wait_for_services(self, *services):
        eventually(f"{services} are listed", lambda: self.services() == HOSTED | OWN | {*services})

    def test_a_client_lists_describes_and_calls_both(self):
        with pricing_server() as port:
            self.serve(upstream("pricing", port))
            self.wait_for_services("pricing.v1.Pricer")
            address = self.memod.address
            self.assertEqual(
                self.buf.listed(address, "--list-services"),
                HOSTED | OWN | {"pricing.v1.Pricer"},
            )
            methods = self.buf.listed(address, "--list-methods")
            self.assertLessEqual(
                {"pricing.v1.Pricer/Quote", "memo.examples.v1.SlowAdder/Calculate"}, methods
            )
            code, out, err = self.buf.run(
                address, "-d", '{"symbol": "X"}', "{}/pricing.v1.Pricer/Quote"
            )
            self.assertEqual((code, json.loads(out)), (0, {"text": "quote of X"}), err)

    def test_either_version_on_either_side(self):
        for version in ("v1", "v1alpha"):
            port = self.fake(service_file("a.proto", "a", "Talk"), version=version).port
            with self.subTest(version=version):
                self.serve(upstream("up", port))
                self.wait_for_services("a.Talk")
                self.assertEqual(self.services("v1alpha"), self.services("v1"))
                for asked in ("v1", "v1alpha"):
                    (answer,) = self.ask({"file_containing_symbol": "a.Talk"}, version=asked)
                    self.assertEqual(list(self.files(answer)), ["a.proto"])

    def test_imports_that_are_not_sent_along_are_asked_for(self):
        files = (
            service_file("talk.proto", "a", "Talk", imports=["b.proto"]),
            service_file("b.proto", "b", None, imports=["c.proto"]),
            service_file("c.proto", "c", None),
        )
        self.serve(upstream("up", self.fake(*files, with_imports=False).port))
        self.wait_for_services("a.Talk")
        (answer,) = self.ask({"file_containing_symbol": "a.Talk.Say"})
        self.assertEqual(set(self.files(answer)), {"talk.proto", "b.proto", "c.proto"})

    def test_files_of_one_name_stay_apart(self):
        taken = "memo/v1/session.proto"  # compiled into memod
        first = self.fake(
            service_file("talk.proto", "a", "Talk", imports=[taken]),
            service_file(taken, "clash.a", None),
        )
        second = self.fake(
            service_file("talk.proto", "b", "Talk", imports=[taken]),
            service_file(taken, "clash.b", None),
        )
        self.serve(upstream("one", first.port, ["a.Talk"]) + upstream("two", second.port))
        eventually("b.Talk", lambda: "b.Talk" in self.services())
        a_talk = {"file_containing_symbol": "a.Talk"}
        eventually("a.Talk is described", lambda: self.files(*self.ask(a_talk)))
        for package in ("a", "b"):
            by_symbol, by_name = self.ask(
                {"file_containing_symbol": f"{package}.Talk"}, {"file_by_filename": taken}
            )
            self.assertEqual(self.files(by_symbol)["talk.proto"].package, package)
            self.assertEqual(self.files(by_symbol)[taken].package, f"clash.{package}")
            self.assertEqual(self.files(by_name)[taken].package, f"clash.{package}")
        (own,) = self.ask({"file_by_filename": taken})
        self.assertEqual(self.files(own)[taken].package, "memo.v1")

    def test_what_is_hosted_hides_what_an_upstream_calls_the_same(self):
        fake = self.fake(
            service_file("adder.proto", "memo.examples.v1", "SlowAdder"),
            service_file("talk.proto", "a", "Talk"),
        )
        self.serve(upstream("up", fake.port))
        self.wait_for_services("a.Talk")
        (answer,) = self.ask({"file_containing_symbol": "memo.examples.v1.SlowAdder"})
        self.assertIn("memo/examples/v1/slow_adder.proto", self.files(answer))

    def test_an_upstream_is_asked_again_when_it_comes_back(self):
        before = self.fake(service_file("a.proto", "a", "Before"))
        self.serve(upstream("up", before.port))
        self.wait_for_services("a.Before")
        before.close()
        self.fake(service_file("a.proto", "a", "After"), port=before.port)
        self.wait_for_services("a.After")

    def test_without_reflection_configured_services_are_listed(self):
        self.serve(upstream("mute", self.fake(version="none").port, ["a.Talk"]))
        self.memod.wait_for_log("upstream does not say", upstream="mute")
        self.assertEqual(self.services(), HOSTED | OWN | {"a.Talk"})
        (answer,) = self.ask({"file_containing_symbol": "a.Talk"})
        self.assertEqual(answer.error_response.error_code, grpc.StatusCode.NOT_FOUND.value[0])

    def test_nonsense_from_an_upstream_changes_nothing(self):
        file = service_file("a.proto", "a", "Talk").SerializeToString()
        no_file = reflection_pb2.ServerReflectionResponse()
        no_file.file_descriptor_response.file_descriptor_proto.append(b"\xff" + file)
        for says in (b"\xff\xff", no_file.SerializeToString()):
            self.serve(upstream("up", self.fake(says=says).port))
            self.memod.wait_for_log("upstream does not say", upstream="up")
            self.assertEqual(self.services(), HOSTED | OWN)

    def test_an_upstream_that_never_answers_holds_nothing_up(self):
        fake = self.fake(says=b"")
        self.serve(upstream("up", fake.port))
        self.assertTrue(fake.asked.wait(SOON))
        self.assertEqual(self.services(), HOSTED | OWN)
        begin = time.monotonic()
        self.assertEqual(self.memod.stop(), 0)
        self.assertLess(time.monotonic() - begin, 5, "it is given 10 s to answer")

    def test_questions_that_have_no_answer(self):
        self.serve("")
        answers = self.ask(
            {"file_containing_symbol": "no.Such"},
            {"file_by_filename": "no.proto"},
            {"all_extension_numbers_of_type": "no.Such"},
            {},
            {"file_containing_symbol": "memo.v1.SessionService"},
        )
        codes = [answer.error_response.error_code for answer in answers]
        not_found = grpc.StatusCode.NOT_FOUND.value[0]
        self.assertEqual(codes, [not_found] * 3 + [grpc.StatusCode.INVALID_ARGUMENT.value[0], 0])


if __name__ == "__main__":
    unittest.main()
