"""The load beside a server of its own whose times are known, and beside ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from nanohydra.bench import LoadConfig, Target, ask, quantiles
from nanohydra.bench.load import Load, wait_until_ready
from nanohydra.core.errors import UserError

WAIT = 0.02  # between two pieces


class Server:
    """Streams as many words as were asked for, one every WAIT seconds; counts what it saw."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.at_once = self.most_at_once = self.left = 0
        self.break_off = self.knows_ignore_eos = False

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        length = int(head.lower().split("content-length:")[1].split()[0])
        body = json.loads(await reader.readexactly(length) or "{}")
        try:
            if path == "/metrics":
                self.reply(writer, 200, b'x 1\nvllm:kv_cache_usage_perc{engine="0"} 0.25\ny 2\n')
            elif path == "/ready":
                self.reply(writer, 200, b"{}")
            elif body.get("ignore_eos") and not self.knows_ignore_eos:
                self.reply(writer, 400, b'{"error": "unknown field \'ignore_eos\'"}')
            else:
                self.bodies.append(body)
                await self.stream(writer, body)
        except (ConnectionError, asyncio.CancelledError):
            self.left += 1
        finally:
            writer.close()

    def reply(self, writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)

    async def stream(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            self.event(writer, {"choices": [{"delta": {"role": "assistant", "content": ""}}]})
            for _ in range(body["max_tokens"]):
                await asyncio.sleep(WAIT)
                self.event(writer, {"choices": [{"delta": {"content": " word"}}]})
                await writer.drain()
            if self.break_off:
                return
            words = len(body["messages"][0]["content"].split())
            used = {"prompt_tokens": 5 + 2 * words, "completion_tokens": body["max_tokens"]}
            self.event(writer, {"choices": [], "usage": used})
            writer.write(b"data: [DONE]\n\n")
        finally:
            self.at_once -= 1

    def event(self, writer: asyncio.StreamWriter, value: Any) -> None:
        writer.write(f"data: {json.dumps(value)}\n\n".encode())


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Target]:
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    async with listening:
        yield Target(host="127.0.0.1", port=listening.sockets[0].getsockname()[1])


@pytest.fixture
def server() -> Iterator[Server]:
    yield Server()


def test_latencies_and_counts_are_the_servers(server: Server) -> None:
    async def measure() -> Any:
        async with serving(server) as target:
            load = Load(target, LoadConfig(prompt_tokens=65, output_tokens=5))
            await load.prepare()
            return load, (await load.run(3, 6)).summary()

    load, found = asyncio.run(measure())
    assert (load.tokens_per_word, load.overhead, load.full_length) == (2.0, 5.0, False)
    assert found["requests"] == 6 and found["errors"] == {} and found["tokens"] == 30
    assert found["prompt_tokens"] == 6 * 65
    assert server.most_at_once == 3
    for name in ("ttft_ms", "itl_ms"):  # each waits once; a busy machine makes it longer
        assert WAIT * 1e3 * 0.9 <= found[name]["p50"] < WAIT * 1e3 * 10
    assert found["kv_usage"] == 0.25
    assert 0 < found["tokens_per_second"] <= 3 / WAIT


def test_the_servers_metrics_are_left_alone_where_asked(server: Server) -> None:
    async def measure() -> Any:
        async with serving(server) as target:
            load = Load(target, LoadConfig(output_tokens=2, watch=False))
            await load.prepare()
            return (await load.run(1, 1)).summary()

    found = asyncio.run(measure())
    assert found["kv_usage"] is None and found["tokens"] == 2


def test_arrivals_at_random_do_not_wait_for_answers(server: Server) -> None:
    async def measure() -> Any:
        async with serving(server) as target:
            load = Load(target, LoadConfig(output_tokens=10, rate=200.0))
            await load.prepare()
            return await load.run(1, 12)

    found = asyncio.run(measure())
    assert len(found.replies) == 12 and server.most_at_once > 3
    assert [reply.sent for reply in found.replies] == sorted(r.sent for r in found.replies)


def test_a_seed_repeats_the_prompts_and_a_prefix_is_shared(server: Server) -> None:
    server.knows_ignore_eos = True

    async def prompts(seed: int) -> list[str]:
        async with serving(server) as target:
            config = LoadConfig(prompt_tokens=85, prefix_tokens=40, output_tokens=1, seed=seed)
            load = Load(target, config)
            await load.prepare()
            server.bodies.clear()
            await load.run(1, 3)
            return [body["messages"][0]["content"] for body in server.bodies]

    first, again, other = (asyncio.run(prompts(seed)) for seed in (1, 1, 2))
    assert first == again != other and len(set(first)) == 3
    assert len({" ".join(text.split()[:20]) for text in first}) == 1
    assert len({text.split()[20] for text in first}) > 1 and len(first[0].split()) == 40
    assert all(body["ignore_eos"] for body in server.bodies)


def test_what_goes_wrong_is_counted_and_named(server: Server) -> None:
    async def measure() -> Any:
        async with serving(server) as target:
            load = Load(target, LoadConfig(output_tokens=2))
            await load.prepare()
            server.break_off = True
            broken = (await load.run(2, 4)).summary()
        return broken, await ask(target, "/ready")

    broken, absent = asyncio.run(measure())
    assert broken["errors"] == {"the stream broke off": 4} and broken["tokens"] == 0
    assert broken["itl_ms"]["p50"] is None
    assert absent.error.startswith("no connection")


def test_a_reader_who_leaves_is_noticed_by_the_server(server: Server) -> None:
    server.knows_ignore_eos = True
    body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 500, "stream": True}

    async def leave() -> Any:
        async with serving(server) as target:
            reply = await ask(target, "/v1/chat/completions", body, leave_after=2)
            for _ in range(500):
                if server.left or not server.at_once:
                    return reply
                await asyncio.sleep(0.01)
            raise AssertionError("the server goes on")

    reply = asyncio.run(leave())
    assert 2 <= len(reply.pieces) < 500


def test_the_whole_path_to_our_own_server(tmp_path: Any) -> None:
    import threading

    from nanohydra.chat import Journal
    from nanohydra.server import ServerConfig, create_app
    from nanohydra.server.run import DrainingServer, listen
    from nanohydra.testing import FakeChat

    app = create_app(FakeChat(delay_s=0.01), Journal(tmp_path / "journal.db"), ServerConfig(port=0))
    listening = listen(app.state.service.config)
    running = DrainingServer(app)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()

    async def measure() -> Any:
        target = Target(host="127.0.0.1", port=listening.getsockname()[1])
        await wait_until_ready(target, 30)
        load = Load(target, LoadConfig(prompt_tokens=20, output_tokens=6))
        await load.prepare()
        return (await load.run(2, 4)).summary()

    try:
        found = asyncio.run(measure())
    finally:
        running.should_exit = True
        thread.join(30)
        listening.close()
    assert found["errors"] == {} and found["tokens"] == 24
    assert found["itl_ms"]["p50"] is not None


def test_refusals() -> None:
    for url in ("https://x", "127.0.0.1:8000", "nonsense"):
        with pytest.raises(UserError, match="http://HOST:PORT"):
            Target.of(url)
    with pytest.raises(UserError, match="no server at"):
        asyncio.run(wait_until_ready(Target(host="127.0.0.1", port=1), 0.1))
    for mistake in ({"prompt_tokens": 0}, {"prefix_tokens": 999}, {"rate": -1.0}, {"api": "x"}):
        with pytest.raises(UserError):
            LoadConfig(**mistake)  # type: ignore[arg-type]


def test_quantiles_are_values_that_occurred() -> None:
    assert quantiles([float(n) for n in range(100)]) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert quantiles([3.0]) == {"p50": 3.0, "p95": 3.0, "p99": 3.0}
    assert quantiles([])["p99"] is None
