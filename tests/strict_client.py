"""A client of the gateway by the `websockets` library, which holds servers to every letter of RFC 6455.

    python strict_client.py PORT MESSAGE_LEN_MAX

Says `ok` when all was as it should be, and what was not otherwise.
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK

DEADLINE_S = 60


def echo(name, args):
    return json.dumps({"id": name, "function": "echo", "args": args}, ensure_ascii=False)


async def answer(socket, name):
    """The result of that task."""
    while True:
        message = json.loads(await socket.recv())
        if message.get("id") == name and "ok" in message:
            assert message["ok"], message
            return message["result"]


async def expect_close(url, code, send):
    async with connect(url, subprotocols=["tasks.v1"], max_size=None) as socket:
        await socket.recv()
        try:
            await send(socket)
            while True:
                await socket.recv()
        except ConnectionClosed:
            assert socket.close_code == code, (code, socket.close_code, socket.close_reason)
            assert socket.close_reason, code


async def main(port, message_len_max):
    url = f"ws://127.0.0.1:{port}/ws"

    async with connect(url, subprotocols=["other", "tasks.v1"], max_size=None) as socket:
        assert socket.subprotocol == "tasks.v1"
        # Compression is what the library offers, and what the gateway declines.
        assert "permessage-deflate" in socket.request.headers["Sec-WebSocket-Extensions"]
        assert "Sec-WebSocket-Extensions" not in socket.response.headers
        hello = json.loads(await socket.recv())["hello"]
        assert hello["limits"]["message_len_max"] == message_len_max, hello

        # Whole, in fragments, in fragments of a character's bytes, and long.
        await socket.send(echo("whole", "Grüße 🎉"))
        assert await answer(socket, "whole") == "Grüße 🎉"
        text = echo("pieces", "Grüße 🎉" * 100)
        pieces = [text[at : at + 7] for at in range(0, len(text), 7)]
        waiters = []

        async def with_pings():
            for piece in pieces:
                waiters.append(await socket.ping())
                yield piece

        await socket.send(with_pings())
        assert await answer(socket, "pieces") == "Grüße 🎉" * 100
        await asyncio.gather(*waiters)
        for length in (125, 126, 65_535, 65_536, 2_000_000):
            await socket.send(echo(length, "x" * length))
            assert await answer(socket, length) == "x" * length
        await socket.pong(b"that nobody asked for")
        await (await socket.ping(b"x" * 125))

    async with connect(url) as socket:
        assert socket.subprotocol is None
        await socket.send(json.dumps({"function": "echo", "args": 1}))
        assert json.loads(await socket.recv()) == {"ok": True, "result": 1}
        await socket.close(4321, "enough")
        assert socket.close_code == 4321, socket.close_code

    async with connect(url, subprotocols=["tasks.v1"]) as socket:
        await socket.recv()
        await socket.close()
        try:
            await socket.recv()
            raise AssertionError("it is closed")
        except ConnectionClosedOK:
            assert socket.close_code == 1000

    await expect_close(url, 1003, lambda socket: socket.send(b"{}"))
    await expect_close(url, 1007, lambda socket: socket.send(b'"\xff"', text=True))
    await expect_close(url, 1007, lambda socket: socket.send(b'"\xed\xa0\x80"', text=True))
    await expect_close(url, 1009, lambda socket: socket.send("x" * (message_len_max + 1)))
    # Closed in the middle of it: most of it is still to be written then.
    await expect_close(url, 1009, lambda socket: socket.send("x" * (16 * message_len_max)))
    half = "x" * (message_len_max // 2 + 1)
    await expect_close(url, 1009, lambda socket: socket.send([half, half]))

    # Many at once, each with its own answers.
    async def one(number):
        async with connect(url, subprotocols=["tasks.v1"]) as socket:
            for at in range(20):
                await socket.send(echo(at, [number, at]))
            await socket.recv()
            answered = [json.loads(await socket.recv()) for _ in range(20)]
            assert sorted(message["result"] for message in answered) == [[number, at] for at in range(20)]

    await asyncio.gather(*(one(number) for number in range(100)))


asyncio.run(asyncio.wait_for(main(int(sys.argv[1]), int(sys.argv[2])), DEADLINE_S))
print("ok")
