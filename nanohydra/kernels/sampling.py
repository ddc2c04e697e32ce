"""Choosing a token for each row of logits in one call of C; a row's result is its own alone.

Follows `nanohydra.engine.sampling.draw`, the plain-PyTorch version, which sorts whole rows.
"""

from __future__ import annotations

import ctypes
import functools

import torch
from torch import Tensor

from nanohydra.kernels.native import load

SMALL = 1 << 18  # logits below which waking a second thread costs more than it brings


@functools.cache
def sampling_library() -> ctypes.CDLL | None:
    """The compiled library, None if it cannot be had here."""
    library = load("sampling", ("sampling.c",))
    if library is not None:
        library.sample_rows.argtypes = [
            *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p),
            *[ctypes.c_void_p] * 9,
            *[ctypes.c_int64] * 3,
        ]
        library.sample_rows.restype = None
        library.scratch_bytes.argtypes = [ctypes.c_int64]
        library.scratch_bytes.restype = ctypes.c_int64
    return library


class RowSampler:
    """The memory that choosing from rows of one width takes. `RowSampler.fits` must hold."""

    def __init__(self, width: int) -> None:
        library = sampling_library()
        assert library is not None
        self._call = library.sample_rows
        self._width = width
        self._bytes = int(library.scratch_bytes(width))
        self._scratch = torch.empty(0, dtype=torch.uint8)

    @staticmethod
    def fits(device: torch.device) -> bool:
        """Whether rows on this device can be sampled from in C."""
        return device.type == "cpu" and sampling_library() is not None

    def sample(
        self,
        logits_MV: Tensor,
        parameters: tuple[Tensor, Tensor, Tensor, Tensor],
        uniform_M: Tensor,
        changed_RV: Tensor | None = None,
        other_M: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, their log-probabilities, and the logarithms of the sums of exponentials, (M,).

        logits_MV: float32; rows may be apart, their values not. parameters: temperature (0 is
        greedy), top_k (int64, 0 is off), top_p and min_p, float32, of each row. uniform_M: from
        [0, 1), float64. other_M: the row of changed_RV to choose by, -1 for the row of logits_MV;
        log-probabilities are always those of logits_MV. Where nothing can be chosen the token is
        0 and its log-probability NaN.
        """
        rows, width = logits_MV.shape
        assert width == self._width and logits_MV.stride(1) == 1
        threads = min(torch.get_num_threads(), rows) if rows * width >= SMALL else 1
        if self._scratch.numel() < threads * self._bytes:
            self._scratch = torch.empty(threads * self._bytes, dtype=torch.uint8)
        tokens_M = torch.empty(rows, dtype=torch.int64)
        floats_2M = torch.empty(2, rows)
        logprobs_M, sums_M = floats_2M.unbind()
        self._call(
            logits_MV.data_ptr(),
            logits_MV.stride(0),
            None if changed_RV is None else changed_RV.data_ptr(),
            None if other_M is None else other_M.data_ptr(),
            *(column_M.data_ptr() for column_M in parameters),
            uniform_M.data_ptr(),
            tokens_M.data_ptr(),
            logprobs_M.data_ptr(),
            sums_M.data_ptr(),
            self._scratch.data_ptr(),
            threads,
            rows,
            width,
        )
        return tokens_M, logprobs_M, sums_M
