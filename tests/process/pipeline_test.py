"""A pipeline spoken from Python, with what protoc makes of memo/v1/pipeline.proto and nothing of ours."""

import queue
import unittest

import grpc

import harness
from harness import CALCULATE, adder, numbers
from memo.examples.v1 import slow_adder_pb2
from memo.v1 import pipeline_pb2
from memo.v1.pipeline_pb2 import CallRequest, CallResponse


class Pipeline:
    """A stream; its messages are what `send` puts there, its answers an iterator."""

    def __init__(self, client, handle):
        self._messages = queue.SimpleQueue()
        stream = client.channel.stream_stream(
            "/memo.v1.PipelineService/Call",
            request_serializer=CallRequest.SerializeToString,
            response_deserializer=CallResponse.FromString,
        )
        metadata = [("memo-session", handle)]
        self.call = stream(iter(self._messages.get, None), metadata=metadata, timeout=60)
        self.answers = (answer for message in self.call for answer in message.answers)

    def send(self, **fields):
        self._messages.put(CallRequest(**fields))

    def half_close(self):
        self._messages.put(None)


def calls(first_id, requests):
    return [
        pipeline_pb2.PipelinedCall(id=first_id + i, method=1, request=request.SerializeToString())
        for i, request in enumerate(requests)
    ]


class PipelineTest(unittest.TestCase):
    def test_many_calls_in_one_message(self):
        with harness.Memod() as memod, memod.client() as client:
            session = client.open(adder())
            pipeline = Pipeline(client, session.handle)
            methods = [pipeline_pb2.MethodNumber(number=1, name=CALCULATE)]
            requests = [numbers(n, 1) for n in range(100)]
            pipeline.send(methods=methods, calls=calls(0, requests))
            first = {answer.id: answer for answer in (next(pipeline.answers) for _ in range(100))}
            pipeline.send(calls=calls(100, requests))
            pipeline.half_close()
            second = {answer.id: answer for answer in pipeline.answers}  # to the end
            self.assertEqual(first.keys(), set(range(100)))
            self.assertEqual(second.keys(), set(range(100, 200)))
            for n in range(100):
                for answer, cache in (first[n], "MISS"), (second[100 + n], "HIT"):
                    self.assertFalse(answer.HasField("error"), answer)
                    self.assertEqual(answer.cache, getattr(pipeline_pb2, f"CACHE_STATUS_{cache}"))
                    response = slow_adder_pb2.CalculateResponse.FromString(answer.response)
                    self.assertEqual(response.sum, n + 1)
            self.assertEqual(pipeline.call.code(), grpc.StatusCode.OK)
            info = session.info(CALCULATE)
            self.assertEqual((info.hits, info.misses), (100, 100))

    def test_errors_are_in_the_answers(self):
        with harness.Memod() as memod, memod.client() as client:
            session = client.open(adder())
            pipeline = Pipeline(client, session.handle)
            pipeline.send(
                methods=[pipeline_pb2.MethodNumber(number=1, name=CALCULATE)],
                calls=[
                    pipeline_pb2.PipelinedCall(id=1, method=1, request=b"\xff"),
                    pipeline_pb2.PipelinedCall(id=2, method=2),
                ],
            )
            pipeline.half_close()
            errors = {answer.id: answer.error for answer in pipeline.answers}
            self.assertEqual({e.memo_error for e in errors.values()}, {"BAD_REQUEST"})
            self.assertEqual({e.code for e in errors.values()}, {3})


if __name__ == "__main__":
    unittest.main()
