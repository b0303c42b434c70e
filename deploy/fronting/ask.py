#!/usr/bin/python3
"""Asks for quotes, as a client that knows nothing of memod does.

usage: deploy/fronting/ask.py ADDRESS SYMBOL ...
"""

import sys
import time

import grpc

from stubs import QuoteRequest, grpc_stubs


def main():
    address, *symbols = sys.argv[1:]
    with grpc.insecure_channel(address) as channel:
        pricer = grpc_stubs.PricerStub(channel)
        for symbol in symbols:
            begun = time.monotonic()
            answer, call = pricer.Quote.with_call(QuoteRequest(symbol=symbol))
            took = (time.monotonic() - begun) * 1000
            cache = dict(call.initial_metadata()).get("memo-cache", "-")
            print(f"{symbol}: {answer.price:.4f} {took:10.2f} ms  memo-cache: {cache}")
        ticks = [round(tick.price) for tick in pricer.Watch(QuoteRequest(symbol=symbols[0]))]
        print(f"Watch, a stream: {ticks}")


if __name__ == "__main__":
    main()
