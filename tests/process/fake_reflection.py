"""An upstream whose reflection says what the test wants: files of any content, sent with what they
import or not, right or wrong. Its methods answer with what they are sent."""

import concurrent.futures
import threading

import grpc
from google.protobuf import descriptor_pb2

import reflection_pb2
from harness import SOON

LABEL_REPEATED = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED


def service_file(name, package, service, imports=()):
    """A .proto of `package` with the message Text and `service`, whose method Say takes it."""
    file = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3")
    file.dependency.extend(imports)
    text = file.message_type.add(name="Text")
    text.field.add(name="text", number=1, type="TYPE_STRING", label="LABEL_OPTIONAL")
    if service:
        file.service.add(name=service).method.add(
            name="Say", input_type=f".{package}.Text", output_type=f".{package}.Text"
        )
    return file


class FakeReflection(grpc.GenericRpcHandler):
    def __init__(self, files, port=0, version="v1", with_imports=True, says=None):
        self.files = {file.name: file for file in files}
        self.path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        self.with_imports = with_imports
        self.says = says  # bytes in place of any answer; b"": there is none
        self.asked = threading.Event()
        self.server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)]
        )
        self.server.add_generic_rpc_handlers((self,))
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        self.server.start()

    def close(self):
        self.server.stop(None).wait(SOON)

    def service(self, details):
        if details.method == self.path:
            return grpc.stream_stream_rpc_method_handler(self.reflect)
        if "grpc.reflection" in details.method:
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, _: request)

    def services(self):
        for file in self.files.values():
            for service in file.service:
                yield f"{file.package}.{service.name}", file

    def reflect(self, requests, _):
        for request in requests:
            self.asked.set()
            if self.says is not None:
                if self.says:
                    yield self.says
                continue
            question = reflection_pb2.ServerReflectionRequest.FromString(request)
            yield self.answer(question).SerializeToString()

    def answer(self, question):
        response = reflection_pb2.ServerReflectionResponse()
        if question.HasField("list_services"):
            for name, _ in self.services():
                response.list_services_response.service.add(name=name)
            return response
        file = dict(self.services()).get(question.file_containing_symbol)
        file = file or self.files.get(question.file_by_filename)
        if file is None:
            response.error_response.error_code = grpc.StatusCode.NOT_FOUND.value[0]
            return response
        imported = file.dependency if self.with_imports else ()
        for each in (file, *(self.files[name] for name in imported)):
            sent = response.file_descriptor_response.file_descriptor_proto
            sent.append(each.SerializeToString())
        return response
