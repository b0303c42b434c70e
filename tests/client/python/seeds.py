"""The objects of the experiments that memod grew from, made remote: what is slow runs in memod, and
is remembered there as long as the object lives. Neither has a `close` or a `__del__`.
"""

from google.protobuf import duration_pb2
from memo.examples.v1 import dataset_pb2, dataset_pb2_grpc, slow_adder_pb2, slow_adder_pb2_grpc

import memo

CALCULATE = "/memo.examples.v1.SlowAdder/Calculate"


def adder_state(delay=0.0):
    state = slow_adder_pb2.SlowAdderState(delay=duration_pb2.Duration())
    state.delay.FromNanoseconds(int(delay * 1e9))
    return state


class SlowAdder:
    """Adds a constant of its own to what it is given, slowly."""

    def __init__(self, channel, constant=0, delay=0.0, **events):
        self.constant = constant
        self.session = memo.open_session(channel, adder_state(delay), **events)
        self._remote = slow_adder_pb2_grpc.SlowAdderStub(self.session.channel)

    def calculate(self, *numbers, timeout=None):
        return self.how(*numbers, timeout=timeout)[0]

    def how(self, *numbers, control=None, timeout=None):
        """The sum, and whether it was computed or remembered."""
        request = slow_adder_pb2.CalculateRequest(numbers=(self.constant, *numbers))
        metadata = control and memo.control(control)
        answer, call = self._remote.Calculate.with_call(
            request, metadata=metadata, timeout=timeout
        )
        return answer.sum, memo.cache_status(call)

    def start(self, *numbers, timeout=None):
        """A future of the sum."""
        request = slow_adder_pb2.CalculateRequest(numbers=(self.constant, *numbers))
        return self._remote.Calculate.future(request, timeout=timeout)


class Dataset:
    """Statistics on data of its own, which may be replaced."""

    def __init__(self, channel, csv, **events):
        self.session = memo.open_session(channel, dataset_pb2.DatasetState(csv=csv), **events)
        self._remote = dataset_pb2_grpc.DatasetStub(self.session.channel)

    def replace(self, csv):
        return self.session.update_state(dataset_pb2.DatasetState(csv=csv))

    def correlate(self, x, y):
        """The correlation, and whether it was computed or remembered."""
        request = dataset_pb2.CorrelateRequest(x=x, y=y, resamples=1000, seed=42)
        answer, call = self._remote.Correlate.with_call(request)
        return answer.correlation, memo.cache_status(call)
