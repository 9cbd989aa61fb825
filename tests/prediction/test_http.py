import asyncio
from contextlib import asynccontextmanager
from functools import partial

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from networksecurity.prediction.http import Limits, limited

ASKED = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"


async def app(scope, receive, send):
    """Answer once the whole body has come."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


@asynccontextmanager
async def asking(limits):
    """Serve under some limits, and yield what opens a connection and says something over it."""
    config = Config(app, http=limited(limits), ws="none", lifespan="off", log_config=None)
    config.load()
    made = partial(config.http_protocol_class, config=config, server_state=ServerState(), app_state={})
    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    opened = []

    async def ask(said):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        opened.append(writer)
        writer.write(said)
        return reader, writer

    try:
        yield ask
    finally:
        for writer in opened:
            writer.transport.abort()
        server.close()
        await asyncio.sleep(0)  # connections are lost


async def answer_to(ask, said):
    reader, _ = await ask(said)
    return await reader.read()


def limits(seconds=60.0, per_client=10, total=10):
    return Limits(seconds, per_client, total)


@pytest.mark.parametrize("said", [b"", b"GET / HT", ASKED[:-2], HEAD + b"\r\n12345678"])
def test_a_request_that_does_not_arrive_whole_is_ended(said):
    async def run():
        async with asking(limits(seconds=0.2)) as ask:
            return await answer_to(ask, said)

    assert asyncio.run(run()).startswith(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n")


def test_a_second_request_that_does_not_arrive_whole_is_ended():
    async def run():
        async with asking(limits(seconds=0.2)) as ask:
            reader, writer = await ask(HEAD + b"\r\n123456789")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            writer.write(b"\r\nGET ")
            return await reader.read()

    assert asyncio.run(run()).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(("few", "status"), [({"per_client": 2}, b"429 Too"), ({"total": 2}, b"503 Service")])
def test_too_many_connections_are_refused_and_told_when_to_ask_again(few, status):
    errors = []

    async def run():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        async with asking(limits(**few)) as ask:
            held = [await ask(HEAD + b"\r\n1") for _ in range(2)]  # two that owe a body
            refused = await answer_to(ask, ASKED)
            assert refused.startswith(b"HTTP/1.1 " + status)
            assert b"\r\nretry-after: 1\r\n" in refused
            for reader, writer in held:
                writer.write(b"23456789")
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
                writer.close()
                assert await reader.read() == b""
            return await answer_to(ask, ASKED)

    assert asyncio.run(run()).startswith(b"HTTP/1.1 200 ")
    assert errors == []


def test_connections_that_say_nothing_give_their_place_to_one_that_asks():
    async def run():
        async with asking(limits(per_client=3)) as ask:
            silent = [await ask(b"GET / HT") for _ in range(20)]
            answers = [await answer_to(ask, ASKED)]
            while answers[-1].startswith(b"HTTP/1.1 429 "):  # for a second
                answers.append(await answer_to(ask, ASKED))
            assert await silent[0][0].read() == b""  # the oldest had to go
            return answers[-1]

    assert asyncio.run(run()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("first", [b"Content-Length: 4\r\n", b""])
def test_two_lengths_of_a_body_are_refused(first):
    both = first + b"Transfer-Encoding: chunked\r\n" + (b"" if first else b"Content-Length: 4\r\n")
    said = b"POST / HTTP/1.1\r\nHost: x\r\n" + both + b"\r\n0\r\n\r\n"

    async def run():
        async with asking(limits()) as ask:
            return await answer_to(ask, said)

    assert asyncio.run(run()).startswith(b"HTTP/1.1 400 ")
