"""Every kernel of the package beside PyTorch's own operation, in one process, in turns.

Products have the shape of a feed-forward of about 500M parameters, with several matrices in turn
as in a model, for 1 to 256 rows. PyTorch's side is F.linear, and for int8 and int4 also the
products with weights of that size that it has itself; it takes groups of 32 with a scale and a
zero in bfloat16 for int4, ours are smaller (`nanohydra/kernels/int4.py`). Each candidate gets the
fastest of its rounds; a ratio above 1 says how many times as long PyTorch takes. The last line of
standard output is one JSON object.

    python benchmarks/kernels.py                 a minute
    python benchmarks/kernels.py --parts products --rows 1,16
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nanohydra import kernels
from nanohydra.core.log import summary_table
from nanohydra.core.runtime import RuntimeConfig, describe_machine, setup
from nanohydra.kernels import matmul, step
from nanohydra.kernels.elementwise import norm_rope_reference
from nanohydra.kernels.sampling import RowSampler
from nanohydra.model.attention import grouped_attention

NUM_OUT, WIDTH, MATRICES = 4480, 1280, 8
GROUP = 32  # of PyTorch's int4
ENOUGH = 0.02  # seconds of a candidate in a round
VOCAB = 32000
Work = Callable[[], object]


def main() -> None:
    """Measure and print."""
    options = parse()
    setup(RuntimeConfig(device="cpu", threads=options.threads))
    torch.manual_seed(0)
    result: dict[str, Any] = {
        "benchmark": "kernels",
        "machine": describe_machine(),
        "wait_policy": os.environ.get("OMP_WAIT_POLICY", "default"),
        "native": step.library() is not None,
        "rounds": options.rounds,
    }
    for part in options.parts.split(","):
        found: dict[str, dict[str, Any]] = {}
        for name, works in PARTS[part](options):
            found[name] = compare(works, options.rounds)
        rows = [(name, *map(cell, measured.items())) for name, measured in found.items()]
        width = max(map(len, rows))
        summary_table(part, [(*row, *[""] * (width - len(row))) for row in rows])
        result[part] = found
    print(json.dumps(result))


def parse() -> argparse.Namespace:
    """What to measure and for how long."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--rows", default="1,4,16,64,256", help="of products")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: as torch chooses")
    options = parser.parse_args()
    unknown = set(options.parts.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {sorted(unknown)[0]!r}; there are {', '.join(PARTS)}")
    return options


def cell(pair: tuple[str, Any]) -> str:
    """One number of a table's row."""
    name, value = pair
    return f"{name} {value:,.3g}" if "/" in name else f"{name} {value:,.1f} us"


def compare(works: Mapping[str, Work], rounds: int) -> dict[str, Any]:
    """Microseconds of each, and how many times as long as ours the others take."""
    best = dict.fromkeys(works, math.inf)
    counts = {}
    for name, work in works.items():
        work()  # compiles, allocates
        counts[name] = max(1, round(ENOUGH / seconds_of(work, 1)))
    for _ in range(rounds):
        for name, work in works.items():
            best[name] = min(best[name], seconds_of(work, counts[name]))
    result: dict[str, Any] = {name: round(1e6 * best[name], 2) for name in works}
    for name in works:
        if name != "ours":
            result[f"{name} / ours"] = round(best[name] / best["ours"], 3)
    return result


def seconds_of(work: Work, count: int) -> float:
    """Of one call, over some."""
    start = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - start) / count


Cases = list[tuple[str, dict[str, Work]]]


def products(options: argparse.Namespace) -> Cases:
    """x W^T with weights of every kind."""
    exact = [torch.randn(NUM_OUT, WIDTH) for _ in range(MATRICES)]
    half = [weight.bfloat16() for weight in exact]
    kinds: dict[str, tuple[torch.dtype, list[tuple[Tensor, Tensor | None]]]] = {
        "float32": (torch.float32, [(weight, None) for weight in exact]),
        "bfloat16": (torch.bfloat16, [(weight, None) for weight in half]),
        "int8": (torch.bfloat16, [kernels.quantise(weight) for weight in half]),
        "int4": (torch.bfloat16, [kernels.quantise4(weight) for weight in half]),
    }
    packed4 = [pack_int4(weight) for weight in half]
    cases = []
    for (kind, (dtype, layers)), rows in itertools.product(
        kinds.items(), map(int, options.rows.split(","))
    ):
        x = torch.randn(rows, WIDTH).to(dtype)
        plain = exact if kind == "float32" else half
        works: dict[str, Work] = {"ours": our_product(x, dtype, layers)}
        works[f"linear {dtype}".replace("torch.", "")] = in_turn(
            [functools.partial(F.linear, x, weight) for weight in plain]
        )
        if kind == "int8":
            works["int8pack"] = in_turn([int8pack(x, *layer) for layer in layers])
        if kind == "int4":
            works["int4pack"] = in_turn([int4pack(x, *layer) for layer in packed4])
        cases.append((f"{kind}, {rows} rows", works))
    return cases


def in_turn(works: list[Work]) -> Work:
    """One of them at each call, so that no weights stay in a core's own cache."""
    endless = itertools.cycle(works)
    return lambda: next(endless)()


def our_product(x: Tensor, dtype: torch.dtype, layers: list[tuple[Tensor, Tensor | None]]) -> Work:
    """What a native step does for a linear layer; PyTorch's way where there is no compiler."""
    library, threads = step.library(), torch.get_num_threads()
    if library is None:
        return in_turn([functools.partial(plain_product, x, *layer) for layer in layers])
    out = torch.empty(len(x), NUM_OUT)
    fixed: dict[str, Any] = {"dtype": dtype, "threads": threads, "loaded": library, "out": out}
    return in_turn([functools.partial(matmul.linear, x, w, None, s, **fixed) for w, s in layers])


def plain_product(x: Tensor, weight: Tensor, scale: Tensor | None) -> Tensor:
    """The package's product without C."""
    if scale is None:
        return F.linear(x, weight)
    product = kernels.int8_product if weight.dtype == torch.int8 else kernels.int4_product
    return product(x, [weight], [scale], [None])[0]


def int8pack(x: Tensor, weight: Tensor, scale: Tensor | None) -> Work:
    """PyTorch's product with int8 weights."""
    assert scale is not None
    return functools.partial(torch._weight_int8pack_mm, x, weight, scale.bfloat16())


def pack_int4(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix for PyTorch's product with int4 weights: its speed alone counts here."""
    codes = torch.randint(16, weight.shape, dtype=torch.int32)
    scales = torch.ones(WIDTH // GROUP, NUM_OUT, 2, dtype=torch.bfloat16)
    return torch._convert_weight_to_int4pack_for_cpu(codes, 1), scales


def int4pack(x: Tensor, packed: Tensor, scales: Tensor) -> Work:
    """PyTorch's product with int4 weights."""
    return functools.partial(torch._weight_int4pack_mm_for_cpu, x, packed, GROUP, scales)


def attention(options: argparse.Namespace) -> Cases:
    """One query over many keys with groups of heads, and whole texts forward and back."""
    cases: Cases = []
    for places in (128, 1024):
        q, k, v = (torch.randn(1, n, t, 64).bfloat16() for n, t in ((20, 1), *[(4, places)] * 2))
        plain = functools.partial(F.scaled_dot_product_attention, q, k, v, enable_gqa=True)
        works: dict[str, Work] = {
            "ours": functools.partial(grouped_attention, q, k, v, None, 8.0),
            "enable_gqa": plain,
        }
        cases.append((f"one query, {places} keys", works))
    q, k, v = (torch.randn(4, n, 512, 64).bfloat16().requires_grad_() for n in (8, 2, 2))

    def train(attend: Callable[..., Tensor], **how: bool) -> None:
        attend(q, k, v, **how).sum().backward()

    works = {"ours": functools.partial(train, kernels.causal_attention)}
    theirs = F.scaled_dot_product_attention
    works["PyTorch"] = functools.partial(train, theirs, is_causal=True, enable_gqa=True)
    cases.append(("causal, 4 x 512, forward and back", with_gradients(works)))
    return cases


def with_gradients(works: dict[str, Work]) -> dict[str, Work]:
    """The same with autograd on."""
    return {name: torch.enable_grad()(work) for name, work in works.items()}


def rows(options: argparse.Namespace) -> Cases:
    """Operations on rows: norms, activations, rotary positions, for 16 rows and for 2048."""
    cases: Cases = []
    for count in (16, 2048):
        x, up = torch.randn(2, count, 1280).bfloat16()
        weight = torch.ones(1280).bfloat16()
        heads, norm = torch.randn(1, count, 20, 64).bfloat16(), torch.ones(64).bfloat16()
        places = torch.arange(count)[None]
        angles = torch.outer(torch.arange(count), torch.linspace(1, 1e-3, 32))
        rope = (norm, 1e-6, places, angles.cos(), angles.sin())
        cases += [
            (
                f"RMSNorm, {count} rows",
                {
                    "ours": functools.partial(kernels.rms_norm, x, weight, 1e-6),
                    "PyTorch": functools.partial(F.rms_norm, x, (1280,), weight, 1e-6),
                },
            ),
            (
                f"SwiGLU, {count} rows",
                {
                    "ours": functools.partial(kernels.swiglu, x, up),
                    "PyTorch": lambda x=x, up=up: F.silu(x) * up,
                },
            ),
            (
                f"norm and rotation of heads, {count} rows",
                {
                    "ours": functools.partial(kernels.norm_rope, heads, *rope),
                    "PyTorch": functools.partial(norm_rope_reference, heads, *rope),
                },
            ),
        ]
    return cases


def loss(options: argparse.Namespace) -> Cases:
    """Head and cross-entropy, forward and back."""
    x = torch.randn(1024, 512).bfloat16().requires_grad_()
    weight = (torch.randn(VOCAB, 512) / 16).bfloat16().requires_grad_()
    labels = torch.randint(VOCAB, (1024,))

    def plain() -> None:
        F.cross_entropy(F.linear(x, weight).float(), labels).backward()

    def ours() -> None:
        kernels.linear_cross_entropy(x, weight, labels, reduction="mean")[0].backward()

    works: dict[str, Work] = {"ours": ours, "PyTorch": plain}
    return [(f"1024 x 512, {VOCAB} words, forward and back", with_gradients(works))]


def sampler(options: argparse.Namespace) -> Cases:
    """A token for each row of logits by temperature, top-k and top-p; and the likeliest."""
    cases: Cases = []
    for count in (1, 16):
        logits, uniform = 3 * torch.randn(count, VOCAB), torch.rand(count).double()

        def drawn(logits: Tensor = logits) -> Tensor:
            values, ids = (logits / 0.8).topk(40)
            probabilities = values.softmax(-1)
            before = probabilities.cumsum(-1) - probabilities
            kept = probabilities.masked_fill(before > 0.9, 0.0)
            return ids.gather(1, torch.multinomial(kept, 1))

        def likeliest(logits: Tensor = logits) -> tuple[Tensor, Tensor]:
            return logits.argmax(-1), logits.log_softmax(-1)

        for name, plain, (warmth, k, p) in (
            ("top-k 40, top-p 0.9", drawn, (0.8, 40, 0.9)),
            ("greedy and its log-probability", likeliest, (0.0, 0, 1.0)),
        ):
            works: dict[str, Work] = {"ours": plain, "PyTorch": plain}
            if RowSampler.fits(torch.device("cpu")):
                columns = torch.tensor([[warmth], [p], [0.0]]).expand(3, count).contiguous()
                given = (columns[0], torch.full((count,), k), columns[1], columns[2])
                sample = RowSampler(VOCAB).sample
                works["ours"] = functools.partial(sample, logits, given, uniform)
            cases.append((f"{name}, {count} rows", works))
    return cases


PARTS: dict[str, Callable[[argparse.Namespace], Cases]] = {
    "products": products,
    "attention": attention,
    "rows": rows,
    "loss": loss,
    "sampler": sampler,
}


if __name__ == "__main__":
    with torch.no_grad():
        main()
