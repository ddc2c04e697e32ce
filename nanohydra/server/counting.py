"""What a server counts of its requests: in the event loop, without locks, for /metrics to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from nanohydra.chat import Done
from nanohydra.core.histogram import Histogram

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
GAPS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)


@dataclass
class Metrics:
    """What one server has done since its start."""

    ttft: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    gaps: Histogram = field(default_factory=lambda: Histogram(GAPS))
    latency: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    prompt_tokens: Histogram = field(default_factory=lambda: Histogram(TOKENS))
    generated_tokens: Histogram = field(default_factory=lambda: Histogram(TOKENS))
    finished: Counter[str] = field(default_factory=Counter)
    replies: Counter[int] = field(default_factory=Counter)  # by HTTP status
    disconnects: int = 0

    def count(self, found: Sequence[Done]) -> None:
        """Take in the answers of a request that has ended."""
        for done in found:
            reason = "stop" if done.finish_reason == "tool_calls" else done.finish_reason
            self.finished[reason] += 1
            self.prompt_tokens.observe(done.usage.prompt_tokens)
            self.generated_tokens.observe(done.usage.completion_tokens)
            self.latency.observe(done.timings.total_s)
            if done.usage.completion_tokens:
                self.ttft.observe(done.timings.ttft_s)
            self.gaps.observe_all(done.gaps)

    def gone(self) -> None:
        """A client left before it had its answer."""
        self.disconnects += 1
        self.finished["abort"] += 1
