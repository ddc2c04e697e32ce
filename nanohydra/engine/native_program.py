"""Turns a decoder into the flat program of operations that kernels/step.c runs.

It asks for modules and options, never for families of models. What it does not know exactly it
refuses with `Unsupported`, and PyTorch takes the steps.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from nanohydra.kernels import step
from nanohydra.kernels.step import Matrix, Norm, Op
from nanohydra.model import Decoder
from nanohydra.model.attention import Attention
from nanohydra.model.convolution import ShortConvolution
from nanohydra.model.decoder import Block
from nanohydra.model.feed_forward import GELU, GeGLU, ReLUSquared, SwiGLU
from nanohydra.model.layers import RMSNorm
from nanohydra.model.linear import Linear, is_plain
from nanohydra.model.paged import ConvolutionPages, KeyValuePages, LayerPages, PagedState
from nanohydra.model.quantised import Int4Linear, Int8Linear, QuantisedLinear
from nanohydra.model.sliding import SlidingAttention
from nanohydra.model.unrotated import UnrotatedAttention

ACTIVATIONS: dict[type[nn.Module], str] = {
    SwiGLU: "swiglu",
    GeGLU: "geglu",
    GELU: "gelu",
    ReLUSquared: "relu2",
}


class Unsupported(Exception):
    """What a decoder has that no operation computes."""


@dataclass(kw_only=True)
class NativeProgram:
    """Operations in order. Pointers in them stay valid as long as this lives.

    linears: names of the linear layers that adapters may change; those of one operation, which
        have one input, together.
    outputs: width of the widest output of products; inputs: of the widest input.
    """

    ops: list[Op] = field(default_factory=list)
    linears: list[tuple[str, ...]] = field(default_factory=list)
    outputs: int = 0
    inputs: int = 0
    held: list[Tensor] = field(default_factory=list)


class Builder:
    """Writes the program of one model with one paged state."""

    def __init__(self, model: Decoder, state: PagedState) -> None:
        self.model = model
        self.config = model.config
        self.state = state
        self.dtype = model.dtype
        self.program = NativeProgram()

    def build(self) -> NativeProgram:
        """The whole program. Raises Unsupported."""
        self._check()
        self._embed()
        post = Norm()
        for index, block in enumerate(self.model.blocks):
            assert isinstance(block, Block)
            self._add("norm", form=int(index > 0), norm=(post, self._norm(block.mixer_norm)))
            self._mixer(f"blocks.{index}.mixer", block, self.state.layers[index])
            norms = (self._norm(block.mixer_post_norm), self._norm(block.feed_forward_norm))
            self._add("norm", form=1, norm=norms)
            self._feed_forward(f"blocks.{index}.feed_forward", block.feed_forward)
            post = self._norm(block.feed_forward_post_norm)
        self._add("final", norm=(post, self._norm(self.model.final_norm)))
        self._head()
        return self.program

    def _check(self) -> None:
        model = self.model
        if model.device.type != "cpu":
            raise Unsupported(f"it lies on {model.device}")
        if self.dtype not in (torch.float32, torch.bfloat16):
            raise Unsupported(f"its dtype is {self.dtype}")
        if self.config.head_dim > step.MOST_HEAD:
            raise Unsupported(f"its heads are larger than {step.MOST_HEAD}")
        if type(model).forward is not Decoder.forward:
            raise Unsupported(f"it is a {type(model).__name__}")
        for layer in self.state.layers:
            for pages in layer.tensors():
                if pages.dtype != self.dtype or not pages.is_contiguous():
                    raise Unsupported("its pages are of another dtype or not contiguous")

    def _add(self, kind: str, *, width: int = 0, norm: Sequence[Norm] = (), **fields: object) -> Op:
        """Append an operation. width: how many numbers of each token it goes over."""
        op = Op(kind=step.KINDS.index(kind), width=width or self.config.hidden_size)
        for place, each in enumerate(norm):
            op.norm[place] = each
        for name, value in fields.items():
            setattr(op, name, value)
        self.program.ops.append(op)
        return op

    def _keep(self, tensor: Tensor) -> int:
        """The address of a tensor that lives as long as the program."""
        self.program.held.append(tensor)
        return tensor.data_ptr()

    def _floats(self, tensor: Tensor | None, offset: float = 0.0) -> int | None:
        if tensor is None:
            return None
        return self._keep(tensor.detach().float().contiguous() + offset)

    def _norm(self, norm: nn.Module | None) -> Norm:
        if norm is None:
            return Norm()
        if type(norm) is RMSNorm:
            weight = self._floats(norm.weight, norm.offset)
            return Norm(weight=weight, kind=step.NORMS.index("rms"), eps=norm.eps)
        if type(norm) is nn.LayerNorm:
            weight, bias = self._floats(norm.weight), self._floats(norm.bias)
            kind = step.NORMS.index("layer")
            return Norm(weight=weight, bias=bias, kind=kind, eps=norm.eps)
        raise Unsupported(f"it has norms of type {type(norm).__name__}")

    def _matrix(self, linear: nn.Module) -> Matrix:
        if not isinstance(linear, Linear) or not is_plain(linear, type(linear)):
            raise Unsupported("something stands in for one of its linear layers")
        if type(linear) not in (Linear, Int8Linear, Int4Linear):
            raise Unsupported(f"it has linear layers of type {type(linear).__name__}")
        weight, bias = linear.weight.detach(), linear.bias
        expected = self.dtype
        if isinstance(linear, QuantisedLinear):
            expected = torch.int8 if isinstance(linear, Int8Linear) else torch.uint8
        if weight.dtype != expected or not weight.is_contiguous():
            raise Unsupported(f"it has weights of {weight.dtype}, or not contiguous ones")
        if bias is not None and bias.dtype != self.dtype:
            raise Unsupported(f"it has biases of {bias.dtype}")
        return Matrix(
            w=self._keep(weight),
            out=linear.out_features,
            in_=linear.in_features,
            dtype=step.DTYPES[weight.dtype],
            model=step.DTYPES[self.dtype],
            scale=self._keep(linear.scale) if isinstance(linear, QuantisedLinear) else None,
            bias=None if bias is None else self._keep(bias.detach()),
        )

    def _product(self, owner: str, module: nn.Module, *names: str) -> None:
        """Bring the input into the products' layout, then multiply by some layers' weights."""
        matrices = [self._matrix(module.get_submodule(name)) for name in names]
        program = self.program
        first = sum(map(len, program.linears))
        program.linears.append(tuple(f"{owner}.{name}" for name in names))
        self._add("pack", width=matrices[0].in_)
        op = self._add("product", width=matrices[0].in_, count=len(names), first=first)
        for place, matrix in enumerate(matrices):
            op.matrix[place] = matrix
        program.outputs = max(program.outputs, sum(matrix.out for matrix in matrices))
        program.inputs = max(program.inputs, matrices[0].in_)

    def _embed(self) -> None:
        model, config = self.model, self.config
        factor = 1.0
        if config.scale_embeddings:  # rounded as Decoder._embed does
            factor = torch.tensor(math.sqrt(config.hidden_size), dtype=self.dtype).item()
        op = self._add("embed", factor=factor)
        table: Tensor | None = None
        if model.position_table is not None:
            table = model.position_table.weight
        elif model._sinusoids is not None:
            table = model._sinusoids.to(self.dtype)
        for place, each in enumerate((model.embed.weight, table)):
            if each is None:
                continue
            if each.dtype != self.dtype or not each.is_contiguous():
                raise Unsupported("its embeddings are of another dtype or not contiguous")
            op.pages[place] = self._keep(each.detach())

    def _mixer(self, owner: str, block: Block, pages: LayerPages) -> None:
        mixer = block.mixer
        if type(mixer) in (Attention, SlidingAttention, UnrotatedAttention):
            assert isinstance(pages, KeyValuePages)
            self._attention(owner, cast(Attention, mixer), pages)
        elif type(mixer) is ShortConvolution:
            assert isinstance(pages, ConvolutionPages)
            self._convolution(owner, mixer, pages)
        else:
            raise Unsupported(f"it has layers of type {type(mixer).__name__}")

    def _attention(self, owner: str, mixer: Attention, pages: KeyValuePages) -> None:
        config = self.config
        sliding = type(mixer) is SlidingAttention
        rotated = config.position == "rope" and type(mixer) is not UnrotatedAttention
        heads, groups, size = config.num_heads, config.num_kv_heads, config.head_dim
        shape: dict[str, Any] = {"heads": heads, "groups": groups, "size": size}
        self._product(owner, mixer, "q_proj", "k_proj", "v_proj")
        place = self._add(
            "place",
            width=(heads + 2 * groups) * size,
            norm=(self._norm(mixer.q_norm), self._norm(mixer.k_norm)),
            form=int(mixer.norm_whole),
            rotated=config.num_rotated if rotated else 0,
            table=int(sliding),
            **shape,
        )
        attend = self._add(
            "attend",
            width=heads * size,
            window=config.sliding_window if sliding else 0,
            factor=1 / mixer.divisor,
            softcap=config.attention_softcap,
            **shape,
        )
        for op in (place, attend):
            op.pages[0], op.pages[1] = pages.keys.data_ptr(), pages.values.data_ptr()
        self._product(owner, mixer, "o_proj")

    def _convolution(self, owner: str, mixer: ShortConvolution, pages: ConvolutionPages) -> None:
        self._product(owner, mixer, "in_proj")
        store = self._add("store_inputs")
        mix = self._add("mix", count=mixer.kernel, weight=self._floats(mixer.conv_weight))
        store.pages[0] = mix.pages[0] = pages.inputs.data_ptr()
        self._product(owner, mixer, "out_proj")

    def _feed_forward(self, owner: str, module: nn.Module) -> None:
        name = ACTIVATIONS.get(type(module))
        if name is None:
            raise Unsupported(f"it has feed-forwards of type {type(module).__name__}")
        gated = isinstance(module, SwiGLU)
        self._product(owner, module, *(("gate_proj", "up_proj") if gated else ("up_proj",)))
        form = step.ACTIVATIONS.index(name)
        self._add("activate", width=self.config.intermediate_size, form=form)
        self._product(owner, module, "down_proj")

    def _head(self) -> None:
        self._add("pack", form=1)
        matrix = self._matrix(self.model.head)
        op = self._add("head", count=1)
        op.matrix[0] = matrix
        if self.config.logit_softcap:
            self._add("softcap", width=self.config.vocab_size, softcap=self.config.logit_softcap)


def packed_bytes(program: NativeProgram, library: ctypes.CDLL, dtype: torch.dtype, n: int) -> int:
    """Room for the inputs of any of its products, of n tokens."""
    widths = {op.width for op in program.ops if op.kind == step.KINDS.index("pack")}
    sizes = (library.matmul_packed_bytes(n, width, step.DTYPES[dtype]) for width in widths)
    return int(max(sizes))
