"""Chats by a model's own Jinja template: the ids that transformers gives, plus a loss mask.

Three things go beyond transformers: no text becomes a marker, the mask exists for templates
without `{% generation %}` too, and tool calls are read back. Thinking is off where the template
offers the choice; where a model thinks all the same, its thinking is no part of its message.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nanohydra.core.errors import UserError
from nanohydra.core.types import Message
from nanohydra.tokenizer.calls import detect
from nanohydra.tokenizer.chat import ChatFormat, ChatTool, Rendered
from nanohydra.tokenizer.conversation import Conversation, Text
from nanohydra.tokenizer.jinja import Template
from nanohydra.tokenizer.loss import Turns
from nanohydra.tokenizer.markers import Markers
from nanohydra.tokenizer.reader import END_THINK, THINK, TurnReader

if TYPE_CHECKING:
    from nanohydra.tokenizer.tokenizer import Tokenizer

ASKED, SAID, NEXT = "zq-first", "zq-second", "zq-third"  # to see what stands between turns


class TemplateChat(ChatFormat):
    """A model's template. Raises UserError for one that is no valid Jinja."""

    name = "template"
    offers_tools = True

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        named = tokenizer.files.templates
        self.template = Template(named.get("default") or next(iter(named.values())))
        self.tool_template = Template(named["tool_use"]) if "tool_use" in named else self.template
        sources = self.template.source, self.tool_template.source
        self.calls = detect(sources[1])
        self.thinks = any(THINK in source for source in sources)
        written = [n for n in tokenizer.added_names if any(n in source for source in sources)]
        marks = [self.calls.begin, self.calls.end] if self.calls else []
        marks += [THINK, END_THINK] if self.thinks else []
        names = (*tokenizer.special_names, *(n for n in written if not n.isspace()), *marks)
        self._markers = Markers(names)
        self.markers = self._markers.names
        self._find_ends()
        self.takes_system = self._reads_system()

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ChatTool] = (),
        add_generation_prompt: bool = False,
    ) -> Rendered:
        """As transformers renders them. Raises UserError if the template refuses the messages."""
        conversation = self._conversation(messages, tools)
        text = conversation.render(generation=add_generation_prompt)
        spans = text.spans
        if not conversation.marks_generation:
            spans = tuple(Turns(conversation, text, self.end_text, self.calls).spans())
        return self._encode(text, spans)

    def prompt(self, messages: Sequence[Message], *, tools: Sequence[ChatTool] = ()) -> list[int]:
        """As `render`, without the search for the assistant's words."""
        text = self._conversation(messages, tools).render(generation=True)
        return self._encode(text, ()).ids

    def render_reply(
        self, messages: Sequence[Message], reply: Message, *, tools: Sequence[ChatTool] = ()
    ) -> Rendered:
        """The prompt as it is at the time, and the reply up to the end of its turn."""
        conversation = self._conversation((*messages, reply), tools)
        head = conversation.render(len(messages), generation=True)
        text = conversation.render()
        turns = Turns(conversation, text, self.end_text, self.calls)
        start, end = turns.span(len(messages)) or (0, 0)
        if start == end:
            raise UserError("the chat template leaves the reply out, so that it cannot be learned")
        # Cut where the prompt ends, as it is when the model writes: no token reaches across.
        pieces = (*head.pieces, *text.between(start, end))
        place = len(head.whole)
        return self._encode(Text(pieces=pieces, spans=()), ((place, place + end - start),))

    def reader(self, tools: Sequence[ChatTool] = ()) -> TurnReader:
        """Calls are read where tools were offered; else all is text."""
        names = [str(tool.get("function", tool).get("name", "")) for tool in tools]
        return TurnReader(
            self.tokenizer,
            stop_ids=self.stop_ids,
            calls=self.calls if tools else None,
            names=names,
            thinks=self.thinks,
            thinking_open=self.thinks and self._opens_thinking,
        )

    def _conversation(self, messages: Sequence[Message], tools: Sequence[ChatTool]) -> Conversation:
        template = self.tool_template if tools else self.template
        variables: dict[str, Any] = dict(self.tokenizer.files.named_tokens)
        if "enable_thinking" in template.variables:
            variables["enable_thinking"] = False
        return Conversation(
            messages,
            tools,
            template=template,
            markers=self._markers,
            variables=variables,
            short_ids=self.calls is not None and self.calls.short_ids,
        )

    def _encode(self, text: Text, spans: Sequence[tuple[int, int]]) -> Rendered:
        ids, places = self.tokenizer.encode_pieces(text.pieces, markers=True)
        mask = [False] * len(ids)
        for start, end in spans:
            for n, (a, b) in enumerate(places):
                mask[n] = mask[n] or (a < end and b > start) or start <= a == b < end
        return Rendered(ids=ids, mask=mask)

    def _find_ends(self) -> None:
        """What ends a turn and what begins another's, as a small conversation shows."""
        tokenizer = self.tokenizer
        messages = [
            Message(role="user", content=ASKED),
            Message(role="assistant", content=SAID),
            Message(role="user", content=NEXT),
        ]
        between = ""
        try:
            whole = self._conversation(messages, ()).render().whole
            between = whole[whole.index(SAID) + len(SAID) : whole.index(NEXT)]
        except (UserError, ValueError):
            pass  # no such conversation: the model's files alone say how its turns end
        added = set(tokenizer.added_names)
        found = [name for name in self._markers.find(between) if name in added]
        stated = [*tokenizer.files.stop_ids, tokenizer.end_id]
        ends = [id for id in (*stated, *map(tokenizer.token_id, found[:1])) if id is not None]
        others = [id for id in map(tokenizer.token_id, found[1:2]) if id is not None]
        self.end_ids = tuple(dict.fromkeys(ends))
        self.stop_ids = tuple(dict.fromkeys((*ends, *others)))
        self.end_text = found[0] if found else ""

    def _reads_system(self) -> bool:
        messages = [
            Message(role="system", content=SAID),
            Message(role="user", content=ASKED),
        ]
        prompt = self._conversation(messages, ()).try_render(2, generation=True)
        return prompt is not None and SAID in prompt

    @cached_property
    def _opens_thinking(self) -> bool:
        """Whether the prompt itself begins the model's thinking."""
        conversation = self._conversation([Message(role="user", content=ASKED)], ())
        prompt = conversation.try_render(1, generation=True) or ""
        return prompt.rstrip().endswith(THINK)
