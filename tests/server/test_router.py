"""Two replicas of a fake model behind the router: who answers, what passes, crash, drain."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nanohydra.bench import Reply, Target, ask
from nanohydra.core.errors import UserError
from nanohydra.server import ServerConfig
from nanohydra.server.affinity import Affinity, key_of
from nanohydra.server.replicas import Launch, Replica
from nanohydra.server.router import Router, labelled

CHAT = "/v1/chat/completions"
FAKE = """
import sys
import time
from pathlib import Path
from nanohydra.chat import Journal
from nanohydra.server import ServerConfig, create_app, serve
from nanohydra.testing import FakeChat
port = int(sys.argv[2])
if Path(sys.argv[1]).with_suffix(".slow").exists():
    time.sleep(3)
config = ServerConfig(port=port, model_name=f"replica-{port}", drain_seconds=5)
serve(create_app(FakeChat(delay_s=0.03), Journal(Path(sys.argv[1])), config))
"""


@dataclass
class Place:
    number: int
    active: int = 0


def question(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


def body_of(reply: Reply) -> dict[str, Any]:
    return dict(json.loads(reply.body))


async def until(condition: Callable[[], Awaitable[object]], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


@asynccontextmanager
async def routing(journal: Path, count: int = 2) -> AsyncIterator[tuple[Router, Target, Any]]:
    """A router whose replicas are ready; SIGTERM ends it, if nothing did before."""
    launch = Launch(
        command=lambda port: [sys.executable, "-c", FAKE, str(journal), str(port)],
        environment=dict(os.environ),
    )
    router = Router([Replica(n, launch) for n in range(count)], ServerConfig(port=0))
    urls: list[str] = []
    running = asyncio.ensure_future(router.run(urls.append))
    try:
        await until(lambda: asyncio.sleep(0, running.done() or bool(urls)))
        target = Target.of(urls[0])

        async def ready() -> bool:
            return all(replica.state == "ready" for replica in router.replicas)

        await until(ready)
        yield router, target, running
    finally:
        if not running.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await running


async def who(target: Target, text: str, **more: Any) -> str:
    reply = await ask(target, CHAT, question(text, **more))
    assert reply.status == 200, reply.error
    return str(body_of(reply)["model"])


def test_requests_conversations_and_errors(tmp_path: Path) -> None:
    async def check() -> None:
        async with routing(tmp_path / "journal.db") as (router, target, _):
            names = [await who(target, f"say {n}") for n in range(6)]
            assert len(set(names)) == 2, "new conversations are spread"
            again = [await who(target, f"say {n}") for n in range(6)]
            assert again == names
            turns = [
                {"role": "user", "content": "say 3"},
                {"role": "assistant", "content": "3"},
                {"role": "user", "content": "say more"},
            ]
            reply = await ask(target, CHAT, {"messages": turns})
            assert body_of(reply)["model"] == names[3], "a later turn goes where the first went"
            both = await asyncio.gather(*(who(target, f"count to {20 + n}") for n in range(8)))
            assert set(Counter(both).values()) == {4}, "the least busy one is taken"
            wrong = await ask(target, CHAT, {"messages": []})
            assert wrong.status == 400 and "messages" in wrong.error
            assert (await ask(target, "/nothing")).status == 404
            assert (await ask(target, "/")).body.startswith(b"<!doctype html>")
            health = body_of(await ask(target, "/health"))
            assert health == {"status": "ok", "replicas": ["ready", "ready"]}
            foreign = Target(host="localhost", port=target.port)
            object.__setattr__(foreign, "request", lambda *_: b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await ask(foreign, "/")).status == 403
            assert sum(replica.active for replica in router.replicas) == 0

    asyncio.run(check())


def test_streams_are_not_held_back_and_end_with_their_reader(tmp_path: Path) -> None:
    async def check() -> None:
        async with routing(tmp_path / "journal.db", 1) as (router, target, _):
            whole = await ask(target, CHAT, question("count to 12", stream=True))
            assert not whole.error and len(whole.pieces) == 12
            assert whole.pieces[-1] - whole.pieces[0] > 0.03 * 11 * 0.9
            begin = time.perf_counter()
            left = await ask(target, CHAT, question("count to 900", stream=True), leave_after=2)
            assert left.error == "the stream broke off"

            async def idle() -> bool:
                return router.replicas[0].active == 0

            await until(idle)
            assert time.perf_counter() - begin < 900 * 0.03

    asyncio.run(check())


def test_a_replica_that_crashes_is_started_again(tmp_path: Path) -> None:
    async def check() -> None:
        async with routing(tmp_path / "journal.db") as (router, target, _):
            victim = router.replicas[0]
            stream = asyncio.ensure_future(ask(target, CHAT, question("count to 900", stream=True)))
            other = asyncio.ensure_future(ask(target, CHAT, question("count to 901", stream=True)))

            async def busy() -> bool:
                return all(replica.active == 1 for replica in router.replicas)

            await until(busy)
            assert victim.process is not None
            # A start that takes longer than a stuck server is given is still a start.
            (tmp_path / "journal.slow").touch()
            victim.process.kill()
            done, _ = await asyncio.wait({stream, other}, return_when=asyncio.FIRST_COMPLETED)
            assert [task.result().error for task in done] == ["the stream broke off"]

            async def seen() -> bool:
                return victim.state != "ready"

            # A request that a dying process has accepted gets a 502; from then on nobody notices.
            await until(seen)
            for number in range(4):
                assert await who(target, f"say {number}") == f"replica-{router.replicas[1].port}"

            async def both() -> bool:
                return all(replica.state == "ready" for replica in router.replicas)

            await until(both)
            assert (victim.num_starts, router.replicas[1].num_starts) == (2, 1)
            for task in (stream, other):
                task.cancel()

    asyncio.run(check())


def test_sigterm_drains(tmp_path: Path) -> None:
    async def check() -> None:
        async with routing(tmp_path / "journal.db", 1) as (router, target, running):
            stream = asyncio.ensure_future(ask(target, CHAT, question("count to 40", stream=True)))

            async def begun() -> bool:
                return router.replicas[0].active == 1

            await until(begun)
            os.kill(os.getpid(), signal.SIGTERM)

            async def refused() -> bool:
                return (await ask(target, CHAT, question("say 1"))).status == 503

            await until(refused)
            assert (await ask(target, "/ready")).status == 503
            whole = await stream
            assert not whole.error and len(whole.pieces) == 40
            await running
            process = router.replicas[0].process
            assert process is not None and process.returncode == 0
            assert (await ask(target, "/health")).error.startswith("no connection")

    asyncio.run(check())


def test_a_replica_that_cannot_start_ends_the_router(tmp_path: Path) -> None:
    launch = Launch(
        command=lambda port: [sys.executable, "-c", "raise SystemExit(2)"],
        environment=dict(os.environ),
    )
    router = Router([Replica(0, launch)], ServerConfig(port=0))
    with pytest.raises(UserError, match="replica 0 ended with 2 while it started"):
        asyncio.run(router.run(lambda url: None))


def test_affinity_keeps_a_conversation_until_its_place_is_too_busy() -> None:
    affinity, places = Affinity(slack=2), [Place(0), Place(1)]
    first = affinity.choose("a", places)
    assert first is not None
    other = places[1 - first.number]
    first.active = 2
    assert affinity.choose("a", places) is first
    first.active = 3
    assert affinity.choose("a", places) is other
    first.active = 0
    assert affinity.choose("a", places) is other, "and it stays where it went"
    assert affinity.choose("a", [first]) is first, "the other one is gone"
    assert affinity.choose("a", []) is None
    for number in range(100):
        Affinity(max_keys=10).choose(str(number), places)
    small = Affinity(max_keys=10)
    for number in range(100):
        small.choose(str(number), places)
    assert list(small.numbers) == [str(number) for number in range(90, 100)]


def test_keys() -> None:
    def key(path: str = CHAT, **body: Any) -> str | None:
        return key_of(path, json.dumps(body).encode())

    begin = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    later = [*begin, {"role": "assistant", "content": "a"}, {"role": "user", "content": "v"}]
    assert key(messages=begin) == key(messages=later, temperature=0) is not None
    assert key(messages=begin) != key(messages=begin, model="other")
    assert key(messages=begin) != key(messages=begin[1:])
    assert key(conversation_id="c", messages=begin) == key(conversation_id="c", messages=later[2:])
    prompt = "/v1/completions"
    assert key(prompt, prompt="x" * 600) == key(prompt, prompt="x" * 700) is not None
    assert key(prompt, prompt=[1, 2]) is not None
    for body in (b"{", b"[]", b"{}", b'{"messages": ["x"]}', b'{"messages": []}'):
        assert key_of(CHAT, body) is None
    assert key("/v1/models", messages=begin) is None


def test_metrics_name_their_replica() -> None:
    one = '# HELP a b\n# TYPE a gauge\na{x="1"} 2\na_total 3\n'
    found = labelled([one, one])
    assert found.splitlines() == [
        "# HELP a b", "# TYPE a gauge", 'a{replica="0",x="1"} 2', 'a_total{replica="0"} 3',
        'a{replica="1",x="1"} 2', 'a_total{replica="1"} 3',
    ]  # fmt: skip
