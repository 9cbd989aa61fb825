"""Clients, in a process of their own, that each send one request again and again over one connection.

Usage: python benchmarks/load.py PORT PATH BODY [--clients 1] [--requests 1000] [--seconds 60] [--rate 0]
BODY is a file of JSON. With a rate all clients together send at most so many requests a second; the seconds of a
request then hold pauses too. Prints, as JSON, the seconds of each request, the wall time of all, and how many answers
there were by status and by the version that they name. Bare sockets: a client library takes longer than what is
measured.
"""

import argparse
import json
import re
import selectors
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Client:
    connection: socket.socket
    received: bytearray = field(default_factory=bytearray)
    sent_at: float = 0.0

    def send(self, request: bytes) -> None:
        self.received.clear()
        self.sent_at = time.perf_counter()
        self.connection.sendall(request)

    def has_answer(self) -> bool:
        """Take what has arrived; say whether it is a whole answer."""
        arrived = self.connection.recv(1 << 18)
        if not arrived:
            raise ConnectionError("the server closed a connection")
        self.received += arrived
        end_of_head = self.received.find(b"\r\n\r\n")
        if end_of_head < 0:
            return False
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", self.received)
        assert length, bytes(self.received[:end_of_head])
        return len(self.received) >= end_of_head + 4 + int(length[1])


def load(port: int, request: bytes, n_clients: int, n_requests: int, seconds: float, rate: float = 0) -> dict:
    took: list[float] = []
    statuses: Counter[str] = Counter()
    versions: Counter[str] = Counter()
    waiting = selectors.DefaultSelector()
    began = time.perf_counter()
    left, pause = n_requests, 1 / rate if rate else 0
    for _ in range(n_clients):
        client = Client(socket.create_connection(("127.0.0.1", port), timeout=60))
        client.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting.register(client.connection, selectors.EVENT_READ, client)
        client.send(request)
        left -= 1
    while waiting.get_map():
        for key, _ in waiting.select(timeout=60):
            client = key.data
            if not client.has_answer():
                continue
            took.append(time.perf_counter() - client.sent_at)
            statuses[client.received[9:12].decode()] += 1
            if found := re.search(rb'"version":"(\w+)"', client.received):
                versions[found[1].decode()] += 1
            if left > 0 and time.perf_counter() - began < seconds:
                time.sleep(pause)
                client.send(request)
                left -= 1
            else:
                waiting.unregister(client.connection)
                client.connection.close()
    return {
        "seconds": [round(of, 6) for of in took],
        "wall": time.perf_counter() - began,
        "statuses": statuses,
        "versions": versions,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("body", type=Path)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=0.0)
    options = parser.parse_args()
    body = options.body.read_bytes()
    head = f"POST {options.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    answers = load(options.port, request, options.clients, options.requests, options.seconds, options.rate)
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
