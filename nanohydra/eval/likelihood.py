"""Perplexity and bits per byte of documents, with the protocol written into the result.

Knows no task and no report; the model is anything that maps ids_BT to logits_BTV, the tokenizer
anything with `encode` and `start_id`.

Protocol: each document is scored alone. The first token is predicted from BOS, which is given and
not scored; no end token is scored; every token of the text is scored exactly once. A document that
does not fit is read in windows, each beginning with BOS: the first scores all it holds, each later
one scores the next `stride` tokens and takes as many earlier tokens for context as fit. Perplexity
is exp(nats / tokens) and depends on the vocabulary; bits per byte is nats / (ln 2 * UTF-8 bytes of
the original text) and does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nanohydra.core.errors import UserError
from nanohydra.core.files import sha256
from nanohydra.eval.stats import Interval, ratio_interval

if TYPE_CHECKING:
    from torch import Tensor

MAX_LOGITS = 1 << 26  # logits held at once (256 MiB in float32), whatever batch is asked for


class LanguageModel(Protocol):
    """What is measured: a causal model whose logits at t depend on the ids up to t only."""

    def __call__(self, ids_BT: Tensor) -> Tensor:
        """logits_BTV of the next token at each place."""


class Encoder(Protocol):
    """The part of a tokenizer that is used."""

    @property
    def start_id(self) -> int:
        """Id of the token that a document's first one is predicted from."""

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without special tokens."""


@dataclass(frozen=True, kw_only=True)
class ScoringProtocol:
    """How a likelihood was measured; two numbers compare only where these agree.

    text, sha256: name and hash of what was scored.
    """

    row_length: int
    stride: int
    text: str = ""
    sha256: str = ""
    unit: str = "document"
    context: str = "BOS, then the document's own earlier tokens, in every window"
    scored: str = "every token of the text once; neither BOS nor an end token"


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """Sums over documents, and the two measures made of them."""

    nats: float
    num_tokens: int
    num_bytes: int
    num_documents: int
    protocol: ScoringProtocol
    bits_per_byte_interval: Interval | None = None

    @property
    def perplexity(self) -> float:
        """exp of the mean nats per token; infinite where float64 cannot hold it."""
        mean = self.nats / self.num_tokens
        return math.exp(mean) if mean < 700 else math.inf

    @property
    def bits_per_byte(self) -> float:
        """Comparable across tokenizers."""
        return self.nats / (math.log(2) * self.num_bytes)


@dataclass(frozen=True, kw_only=True)
class Window:
    """One forward pass's worth of a document: the last `scored` of `ids` are scored."""

    document: int
    ids: tuple[int, ...]
    scored: int


def windows(ids: Sequence[int], *, document: int, row_length: int, stride: int) -> Iterator[Window]:
    """Cut a document's ids so that every one is scored exactly once.

    A window of n ids is fed as BOS and the first n-1 of them, so n <= row_length.
    """
    start = 0
    while start < len(ids):
        end = min(len(ids), start + (stride if start else row_length))
        context = max(0, end - row_length)
        yield Window(document=document, ids=tuple(ids[context:end]), scored=end - start)
        start = end


def score_documents(
    model: LanguageModel,
    tokenizer: Encoder,
    documents: Iterable[str],
    *,
    row_length: int,
    stride: int | None = None,
    batch: int = 16,
    name: str = "",
) -> Likelihood:
    """Score documents. `stride` None or 0 means row_length; empty documents are left out.

    name: what the result calls the text.

    The grouping into batches does not enter the result: nats are summed exactly (`math.fsum`), so
    what differs between values of `batch` is the rounding of the model's own kernels alone.
    Raises UserError for a stride outside 1..row_length, for no text, and for logits that are not
    finite.
    """
    stride = stride or row_length
    if row_length < 1 or not 1 <= stride <= row_length:
        raise UserError(f"stride {stride} must lie between 1 and row_length {row_length}")
    texts = [text for text in documents if text]
    all_windows: list[Window] = []
    for index, text in enumerate(texts):
        ids = tokenizer.encode(text)
        all_windows += windows(ids, document=index, row_length=row_length, stride=stride)
    if not all_windows:
        raise UserError("there is no text to score; give a file with at least one document")
    nats: list[list[float]] = [[] for _ in texts]
    for index, loss in _losses(model, all_windows, tokenizer.start_id, batch):
        nats[index].append(loss)
    per_document = [math.fsum(losses) for losses in nats]
    num_bytes = [len(text.encode("utf-8", "surrogatepass")) for text in texts]
    bits = [loss / math.log(2) for loss in per_document]
    return Likelihood(
        nats=math.fsum(per_document),
        num_tokens=sum(window.scored for window in all_windows),
        num_bytes=sum(num_bytes),
        num_documents=len(texts),
        protocol=ScoringProtocol(
            row_length=row_length,
            stride=stride,
            text=name,
            sha256=sha256("\0".join(texts).encode("utf-8", "surrogatepass")),
        ),
        bits_per_byte_interval=ratio_interval(bits, num_bytes),
    )


def perplexity(
    model: LanguageModel,
    tokenizer: Encoder,
    documents: Iterable[str],
    *,
    row_length: int,
    stride: int | None = None,
) -> float:
    """Perplexity per token under the protocol above."""
    measured = score_documents(model, tokenizer, documents, row_length=row_length, stride=stride)
    return measured.perplexity


def bits_per_byte(
    model: LanguageModel,
    tokenizer: Encoder,
    documents: Iterable[str],
    *,
    row_length: int,
    stride: int | None = None,
) -> float:
    """Bits per UTF-8 byte under the protocol above."""
    measured = score_documents(model, tokenizer, documents, row_length=row_length, stride=stride)
    return measured.bits_per_byte


def _losses(
    model: LanguageModel, pending: Sequence[Window], start_id: int, batch: int
) -> Iterator[tuple[int, float]]:
    """(document, nats) of every scored token. Similar lengths go together to pad little."""
    ordered = sorted(pending, key=lambda window: len(window.ids), reverse=True)
    done, rows = 0, 1  # one row until the first pass has shown how wide the vocabulary is
    with _inference(model) as device:
        while done < len(ordered):
            group = ordered[done : done + rows]
            ids_BT = _padded([(start_id, *window.ids[:-1]) for window in group], start_id).to(
                device
            )
            logits_BTV = model(ids_BT)
            for row, window in enumerate(group):
                first = len(window.ids) - window.scored
                losses = _nats(logits_BTV[row, first : len(window.ids)], window.ids[first:])
                yield from ((window.document, loss) for loss in losses)
            done += len(group)
            rows = max(1, min(batch, MAX_LOGITS // logits_BTV[0].numel()))


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    """Rows filled on the right, which a causal model does not see."""
    import torch

    width = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])


def _nats(logits_TV: Tensor, targets: Sequence[int]) -> list[float]:
    """-ln p of each target, the softmax in float32. Raises UserError where one is not finite."""
    import torch

    targets_T1 = torch.tensor(targets, device=logits_TV.device).unsqueeze(-1)
    log_probs_TV = torch.log_softmax(logits_TV.float(), dim=-1)
    losses: list[float] = (-log_probs_TV.gather(-1, targets_T1).squeeze(-1)).tolist()
    if not all(map(math.isfinite, losses)):
        raise UserError(
            "the model's probabilities are not finite, or zero for a token that occurs; "
            "its weights are damaged, or its training diverged"
        )
    return losses


@contextmanager
def _inference(model: LanguageModel) -> Iterator[str]:
    """Dropout off and no gradients while the model is measured; gives the model's device."""
    import torch

    module = model if isinstance(model, torch.nn.Module) else torch.nn.Module()
    was_training = module.training
    parameter = next(module.parameters(), None)
    module.eval()
    try:
        with torch.inference_mode():
            yield str(parameter.device) if parameter is not None else "cpu"
    finally:
        module.train(was_training)
