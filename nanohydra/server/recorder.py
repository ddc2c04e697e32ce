"""Saves an answer into its conversation while it is written, so that a closed tab loses nothing.

One recorder per conversation: a newer request, or a change by hand, ends the older one first. A
conversation of another owner's is an unknown one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from nanohydra.chat import ChatEvent, Done, Journal, StoredMessage, UnknownConversation
from nanohydra.core.errors import UserError
from nanohydra.core.types import Message
from nanohydra.server import wire
from nanohydra.server.choices import Draft, Item
from nanohydra.server.service import Service

logger = logging.getLogger("nanohydra.server")
SAVE_SECONDS = 0.5  # between two saves of a growing answer


class Recorder:
    """Keeps one conversation in step with one answer. Made by `record`."""

    def __init__(
        self,
        service: Service,
        owner: str,
        conversation_id: str,
        position: int,
        origin: wire.Json,
    ) -> None:
        self.service, self.owner = service, owner
        self.origin = origin
        self.conversation_id = conversation_id
        self.position = position  # of the answer's first message
        self.draft = Draft()
        self.failed = False
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self.task = service.spawn(self._run())

    def take(self, event: ChatEvent) -> None:
        """Add an event of the answer; it is saved soon."""
        self.draft.take(event)
        self._changed.set()

    async def finish(self) -> None:
        """Save what there is, for good. May be called more than once."""
        self.end()
        await asyncio.shield(self.task)

    def end(self) -> None:
        """As `finish`, without waiting."""
        self._ended.set()
        self._changed.set()

    def fail(self, problem: UserError) -> None:
        """Give up saving; the client is told at the end of the answer."""
        logger.error("conversation %s could not be saved: %s", self.conversation_id, problem)
        self.failed = True
        self.end()

    async def _run(self) -> None:
        try:
            while not self._ended.is_set():
                await self._changed.wait()
                self._changed.clear()
                if not self._ended.is_set():
                    await self._save()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(SAVE_SECONDS):
                            await self._ended.wait()
            if not self.failed:
                await self._save()
        except UnknownConversation:
            pass  # deleted by the person while its answer was written
        except UserError as error:
            self.fail(error)
        except Exception:  # whatever it is, the answer goes on
            logger.exception("conversation %s could not be saved", self.conversation_id)
            self.failed = True
        finally:
            key = self.owner, self.conversation_id
            if self.service.recorders.get(key) is self:
                del self.service.recorders[key]

    async def _save(self) -> None:
        messages = self.draft.whole()
        if not messages:
            return
        # Until the end is known the answer counts as cut off: a crash leaves it truly marked.
        name = self.service.config.model_name
        meta: dict[str, Any] = {"model": name, "finish_reason": "abort", **self.origin}
        if self.draft.done is not None:
            meta |= {"finish_reason": self.draft.done.finish_reason, **wire.about(self.draft.done)}
        stored = [StoredMessage(message=message) for message in messages[:-1]]
        stored.append(StoredMessage(message=messages[-1], meta=meta))
        journal = self.service.journal.of(self.owner)
        await asyncio.to_thread(journal.replace_from, self.conversation_id, self.position, stored)


async def record(
    service: Service,
    owner: str,
    conversation_id: str,
    messages: Sequence[Message],
    origin: wire.Json | None = None,
) -> Recorder:
    """Save what was asked, and return the recorder of its answer, with what that rests on.

    What the conversation held after the first difference is replaced; what stays keeps its
    figures. Ends with the request's task. Raises UnknownConversation.
    """
    await settle(service, owner, conversation_id)
    problem = None
    try:
        await asyncio.to_thread(save_question, service.journal.of(owner), conversation_id, messages)
    except UnknownConversation:
        raise
    except UserError as error:
        # A full disk is no reason to leave the question unanswered.
        problem = error
    recorder = Recorder(service, owner, conversation_id, len(messages), origin or {})
    service.recorders[owner, conversation_id] = recorder
    if problem is not None:
        recorder.fail(problem)
    task = asyncio.current_task()
    assert task is not None
    task.add_done_callback(lambda _: recorder.end())
    return recorder


def save_question(journal: Journal, conversation_id: str, messages: Sequence[Message]) -> None:
    """Put the messages of a request into the journal, leaving those that are there already."""
    stored = journal.get(conversation_id).messages
    same = 0
    for old, new in zip(stored, messages, strict=False):
        if old.message != new:
            break
        same += 1
    journal.replace_from(conversation_id, same, messages[same:])


async def settle(service: Service, owner: str, conversation_id: str) -> None:
    """End the recorder of a conversation, if there is one, before something else changes it."""
    recorder = service.recorders.get((owner, conversation_id))
    if recorder is not None:
        await recorder.finish()


async def watch(items: AsyncGenerator[Item], recorder: Recorder) -> AsyncGenerator[Item]:
    """The same events; the first answer goes into the journal, its end before it is passed on."""
    try:
        async for item in items:
            if item[0] == 0:
                recorder.take(item[1])
                if isinstance(item[1], Done):
                    await recorder.finish()
            yield item
    finally:
        await items.aclose()
