#!/usr/bin/python3
"""A slow gRPC service, as there are many: a price by Monte Carlo, in plain Python.

usage: deploy/fronting/pricer.py [ADDRESS]     default 127.0.0.1:50051
"""

import math
import random
import signal
import sys
import time
from concurrent import futures

import grpc

from stubs import QuoteResponse, grpc_stubs

PATHS = 4_000_000


def price(symbol):
    """An option on one path after another; the same symbol has the same price each time."""
    rng = random.Random(symbol)
    total = 0.0
    for _ in range(PATHS):
        total += max(0.0, 100 * math.exp(0.2 * rng.gauss(0, 1) - 0.02) - 100)
    return total / PATHS


class Pricer(grpc_stubs.PricerServicer):
    def Quote(self, request, context):
        begun = time.monotonic()
        response = QuoteResponse(price=price(request.symbol))
        print(f"computed {request.symbol} in {time.monotonic() - begun:.2f} s", flush=True)
        return response

    def Watch(self, request, context):
        for tick in range(3):
            yield QuoteResponse(price=100 + tick)


def main():
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051"
    server = grpc.server(futures.ThreadPoolExecutor(4))
    grpc_stubs.add_PricerServicer_to_server(Pricer(), server)
    server.add_insecure_port(address)
    server.start()
    # In a container this is process 1, which no signal ends that it does not ask for.
    signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=1))
    print(f"pricing on {address}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
