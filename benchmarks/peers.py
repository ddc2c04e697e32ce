"""The engines that are compared, behind one interface: ours, llama.cpp's, transformers' generate.

Ours and llama.cpp's batch continuously: a request may come at any step. The library behind
llama-cpp-python is driven as llama.cpp's own server drives it: a slot for each request, one
`llama_decode` over all slots' next tokens and as many prompt tokens as fit, without HTTP. Its
tokens are chosen by NumPy's argmax, which is faster than its greedy sampler. `generate` of
transformers takes one batch from its begin to its end. All decode greedily and never stop early.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import time
import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from nanohydra.engine import Engine, Request, SamplingParams

Prompt = Sequence[int]


class Batcher(Protocol):
    """What can take a request at any step."""

    def add(self, number: int, prompt: Prompt, num_tokens: int) -> None: ...  # noqa: D102
    def step(self) -> list[tuple[int, int]]: ...  # noqa: D102
    def has_work(self) -> bool: ...  # noqa: D102


@dataclass(kw_only=True)
class Times:
    """When each token of each request came, in seconds since the first could have been asked."""

    arrivals: list[float]
    tokens: list[list[float]] = field(default_factory=list)
    ids: list[list[int]] = field(default_factory=list)

    @property
    def total(self) -> float:
        """Seconds until the last token."""
        return max(times[-1] for times in self.tokens)

    @property
    def tokens_per_second(self) -> float:
        """Of all requests together, prompts included in the time."""
        return sum(map(len, self.tokens)) / self.total

    @property
    def decoding(self) -> float:
        """Tokens per second while every request has its first token and none its last."""
        begin = max(times[0] for times in self.tokens)
        end = min(times[-1] for times in self.tokens)
        return sum(begin < t <= end for times in self.tokens for t in times) / (end - begin)

    @property
    def first(self) -> list[float]:
        """Seconds to each request's first token."""
        return [times[0] - came for times, came in zip(self.tokens, self.arrivals, strict=True)]

    @property
    def gaps(self) -> list[float]:
        """Seconds between tokens."""
        return [b - a for t in self.tokens for a, b in zip(t, t[1:], strict=False)]


def drive(
    batcher: Batcher,
    prompts: Sequence[Prompt],
    num_tokens: int,
    arrivals: Sequence[float] | None = None,
) -> Times:
    """Run all prompts, each from its arrival on; all at once if no arrivals are given."""
    times = Times(arrivals=list(arrivals or [0.0] * len(prompts)))
    times.tokens, times.ids = [[] for _ in prompts], [[] for _ in prompts]
    coming = deque(enumerate(times.arrivals))
    start = time.perf_counter()
    while coming or batcher.has_work():
        now = time.perf_counter() - start
        while coming and coming[0][1] <= now:
            number, _ = coming.popleft()
            batcher.add(number, prompts[number], num_tokens)
        if not batcher.has_work():
            time.sleep(max(0.0, coming[0][1] - (time.perf_counter() - start)))
            continue
        made = batcher.step()
        now = time.perf_counter() - start
        for number, id in made:
            times.tokens[number].append(now)
            times.ids[number].append(id)
    assert all(len(ids) == num_tokens for ids in times.ids)
    return times


class Ours:
    """Our engine; adapters: of the requests in turn."""

    def __init__(self, engine: Engine, adapters: Sequence[str | None] = (None,)) -> None:
        self.engine = engine
        self.adapters = adapters
        self.has_work = engine.has_work

    def add(self, number: int, prompt: Prompt, num_tokens: int) -> None:
        """Queue a request."""
        params = SamplingParams(temperature=0.0, max_tokens=num_tokens)
        adapter = self.adapters[number % len(self.adapters)]
        self.engine.add(
            Request(id=str(number), prompt_ids=tuple(prompt), params=params, adapter=adapter)
        )

    def step(self) -> list[tuple[int, int]]:
        """One step: the new tokens with their requests' numbers."""
        made = []
        for event in self.engine.step():
            assert event.error is None, event.error
            if event.token_id is not None:
                made.append((int(event.request_id), event.token_id))
        return made


class Transformers:
    """`generate` of transformers, in bfloat16."""

    def __init__(self, folder: Path) -> None:
        import transformers

        transformers.logging.disable_progress_bar()
        transformers.logging.set_verbosity_error()
        load = transformers.AutoModelForCausalLM.from_pretrained
        self.model = load(folder, dtype=torch.bfloat16).eval()

    def run(self, prompts: Sequence[Prompt], num_tokens: int) -> Times:
        """One batch of prompts of equal length."""
        ids_BT = torch.tensor([list(prompt) for prompt in prompts])
        clock = Clock()
        start = time.perf_counter()
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            written_BT = self.model.generate(
                ids_BT,
                attention_mask=torch.ones_like(ids_BT),
                do_sample=False,
                min_new_tokens=num_tokens,
                max_new_tokens=num_tokens,
                pad_token_id=0,
                streamer=clock,
            )
        seconds = [when - start for when in clock.times[1:]]  # the prompt is put first
        assert len(seconds) == num_tokens and written_BT.shape[1] == ids_BT.shape[1] + num_tokens
        ids = written_BT[:, ids_BT.shape[1] :].tolist()
        rows = [list(seconds) for _ in prompts]
        return Times(arrivals=[0.0] * len(prompts), tokens=rows, ids=ids)


class Clock:
    """A streamer of transformers that only notes the time."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, _: object) -> None:
        """New tokens of all rows."""
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """All were made."""


@dataclass(kw_only=True)
class Slot:
    """A request in llama.cpp: what was read of it, and its latest token."""

    number: int
    prompt: Prompt
    left: int
    num_read: int = 0
    last: int = 0


class LlamaCpp:
    """llama.cpp with continuous batching, over llama-cpp-python's bindings. `close` it.

    extra: whether it may rearrange weights for this processor, see `survives_extra`.
    """

    def __init__(
        self,
        path: Path,
        *,
        slots: int = 1,
        max_length: int = 512,
        threads: int = 2,
        extra: bool = True,
    ) -> None:
        import llama_cpp.llama_cpp as api

        self.api = api
        silence(api)
        api.llama_backend_init()
        how = api.llama_model_default_params()
        how.use_extra_bufts = extra
        self.model = api.llama_model_load_from_file(str(path).encode(), how)
        assert self.model, f"llama.cpp cannot read {path}"
        options = api.llama_context_default_params()
        options.n_ctx, options.n_seq_max = slots * max_length, slots
        options.n_outputs_max = slots
        options.n_threads = options.n_threads_batch = threads
        self.context = api.llama_init_from_model(self.model, options)
        assert self.context
        self.memory = api.llama_get_memory(self.context)
        vocab = api.llama_model_get_vocab(self.model)
        self.vocab_size = int(api.llama_vocab_n_tokens(vocab))
        self.capacity = int(options.n_batch)
        self.batch = Arrays(api, self.capacity)
        self.waiting: deque[Slot] = deque()
        self.slots: list[Slot | None] = [None] * slots

    def close(self) -> None:
        """Give the memory back."""
        self.api.llama_free(self.context)
        self.api.llama_model_free(self.model)

    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return bool(self.waiting) or any(self.slots)

    def add(self, number: int, prompt: Prompt, num_tokens: int) -> None:
        """Queue a request."""
        self.waiting.append(Slot(number=number, prompt=prompt, left=num_tokens))

    def step(self) -> list[tuple[int, int]]:
        """One `llama_decode`: the new tokens with their requests' numbers."""
        for place, slot in enumerate(self.slots):
            if slot is None and self.waiting:
                self.slots[place] = self.waiting.popleft()
        wanted = self.fill()
        status = self.api.llama_decode(self.context, self.batch.struct)
        assert status == 0, f"llama_decode says {status}"
        made = []
        for index, place in wanted:
            slot = self.slots[place]
            assert slot is not None
            pointer = self.api.llama_get_logits_ith(self.context, index)
            slot.last = int(np.ctypeslib.as_array(pointer, (self.vocab_size,)).argmax())
            slot.left -= 1
            made.append((slot.number, slot.last))
            if not slot.left:
                self.slots[place] = None
                self.api.llama_memory_seq_rm(self.memory, place, -1, -1)
        return made

    def fill(self) -> list[tuple[int, int]]:
        """Put next tokens, then prompts, into the batch; where logits are wanted, for which slot.

        In the order of llama.cpp's server: what decodes goes first.
        """
        self.batch.clear()
        wanted = []
        running = [(place, slot) for place, slot in enumerate(self.slots) if slot is not None]
        for place, slot in running:
            if slot.num_read >= len(slot.prompt):
                wanted.append((self.batch.size, place))
                self.batch.add([slot.last], slot.num_read, place, last=True)
                slot.num_read += 1
        decoding = {place for _, place in wanted}
        for place, slot in running:
            piece = slot.prompt[slot.num_read :][: self.capacity - self.batch.size]
            if place in decoding or not piece:
                continue
            last = slot.num_read + len(piece) == len(slot.prompt)
            self.batch.add(piece, slot.num_read, place, last=last)
            slot.num_read += len(piece)
            if last:
                wanted.append((self.batch.size - 1, place))
        return wanted


class Arrays:
    """A `llama_batch` over NumPy arrays, which fill faster than ctypes does."""

    def __init__(self, api: Any, capacity: int) -> None:
        self.size = 0
        self.token, self.pos = np.zeros(capacity, np.int32), np.zeros(capacity, np.int32)
        self.count, self.sequence = np.ones(capacity, np.int32), np.zeros(capacity, np.int32)
        self.wanted = np.zeros(capacity, np.int8)
        places = np.arange(capacity, dtype=np.uintp) * 4 + self.sequence.ctypes.data
        self.pointers = places.astype(np.uintp)
        kinds = dict(api.llama_batch._fields_)

        def at(array: np.ndarray, name: str) -> Any:
            return ctypes.cast(array.ctypes.data, kinds[name])

        self.struct = api.llama_batch()
        self.struct.token, self.struct.pos = at(self.token, "token"), at(self.pos, "pos")
        self.struct.n_seq_id = at(self.count, "n_seq_id")
        self.struct.seq_id = at(self.pointers, "seq_id")
        self.struct.logits = at(self.wanted, "logits")

    def clear(self) -> None:
        """Begin a new batch."""
        self.size = self.struct.n_tokens = 0

    def add(self, ids: Prompt, position: int, sequence: int, *, last: bool) -> None:
        """Tokens of one sequence; `last`: the logits of the last one are wanted."""
        begin, end = self.size, self.size + len(ids)
        self.token[begin:end] = ids
        self.pos[begin:end] = np.arange(position, position + len(ids))
        self.sequence[begin:end] = sequence
        self.wanted[begin:end] = 0
        self.wanted[end - 1] = last
        self.size = self.struct.n_tokens = end


def survives_extra(path: Path) -> bool:
    """Whether llama.cpp runs this file with its buffers for AMX and the like.

    Version 0.3.36 crashes with Q8_0 in those for AMX on some processors; tried in a process of
    its own, with all of them as it is by default.
    """
    code = (
        "import sys\nfrom pathlib import Path\nfrom peers import LlamaCpp, drive\n"
        "drive(LlamaCpp(Path(sys.argv[1])), [list(range(20))], 2)"
    )
    words = [sys.executable, "-c", code, str(path)]
    here = str(Path(__file__).parent)
    return subprocess.run(words, cwd=here, capture_output=True).returncode == 0


def silence(api: Any) -> None:
    """llama.cpp tells much while it loads."""
    global _quiet
    _quiet = api.llama_log_callback(lambda level, text, data: None)
    api.llama_log_set(_quiet, ctypes.c_void_p(0))


_quiet: Any = None  # kept, as C calls it
