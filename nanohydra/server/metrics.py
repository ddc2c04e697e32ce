"""GET /metrics for Prometheus: vLLM's names where it has one, `nanohydra:` for the rest.

What happens per request is counted here, in the event loop, without locks; what the engine and the
learning know is asked when somebody reads. Labels are few and bounded, so that series are too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import psutil
from fastapi import APIRouter
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.responses import Response

from nanohydra.core.histogram import Histogram
from nanohydra.server.counting import Metrics
from nanohydra.server.service import Here

if TYPE_CHECKING:
    from nanohydra.chat import EngineStats

router = APIRouter()
OWN = "nanohydra"  # before the names that vLLM lacks
REASONS = ("stop", "length", "abort", "error")
JOB_STATES = (
    "queued", "studying", "training", "testing", "live", "refused", "failed", "cancelled",
)  # fmt: skip


class Families:
    """One reading: every metric with its value now."""

    def __init__(self, model: str) -> None:
        self.names, self.labels = ["model_name"], [model]
        self.found: list[Metric] = []

    def collect(self) -> Iterator[Metric]:
        """As a collector of prometheus_client."""
        yield from self.found

    def gauge(self, name: str, text: str, value: float) -> None:
        """A number that goes up and down."""
        family = GaugeMetricFamily(name, text, labels=self.names)
        family.add_metric(self.labels, value)
        self.found.append(family)

    def counter(self, name: str, text: str, value: float) -> None:
        """A number that only grows."""
        family = CounterMetricFamily(name, text, labels=self.names)
        family.add_metric(self.labels, value)
        self.found.append(family)

    def counters(self, name: str, text: str, label: str, values: dict[str, float]) -> None:
        """Numbers that only grow, by a label."""
        family = CounterMetricFamily(name, text, labels=[*self.names, label])
        for key, value in values.items():
            family.add_metric([*self.labels, key], value)
        self.found.append(family)

    def gauges(self, name: str, text: str, label: str, values: dict[str, float]) -> None:
        """Numbers that go up and down, by a label."""
        family = GaugeMetricFamily(name, text, labels=[*self.names, label])
        for key, value in values.items():
            family.add_metric([*self.labels, key], value)
        self.found.append(family)

    def histogram(self, name: str, text: str, values: Histogram) -> None:
        """How often a number was how large."""
        family = HistogramMetricFamily(name, text, labels=self.names)
        bounds = [*(str(float(bound)) for bound in values.bounds), "+Inf"]
        pairs = list(zip(bounds, values.cumulative(), strict=True))
        family.add_metric(self.labels, buckets=pairs, sum_value=values.total)
        self.found.append(family)

    def of_requests(self, metrics: Metrics) -> None:
        """What clients saw."""
        finished = {reason: float(metrics.finished[reason]) for reason in REASONS}
        self.counters("vllm:request_success", "Answers.", "finished_reason", finished)
        for name, text, values in (
            ("time_to_first_token_seconds", "To the first token.", metrics.ttft),
            ("inter_token_latency_seconds", "From a token to the next.", metrics.gaps),
            ("e2e_request_latency_seconds", "Of whole answers.", metrics.latency),
            ("request_prompt_tokens", "Tokens of prompts.", metrics.prompt_tokens),
            ("request_generation_tokens", "Tokens of answers.", metrics.generated_tokens),
        ):
            self.histogram(f"vllm:{name}", text, values)
        replies = {str(status): float(n) for status, n in sorted(metrics.replies.items())}
        self.counters(f"{OWN}:http_replies", "Replies.", "status", replies)
        text = "Clients that left before they had their answer."
        self.counter(f"{OWN}:client_disconnects", text, metrics.disconnects)
        text = "Resident memory of the server's process."
        self.gauge(f"{OWN}:rss_bytes", text, psutil.Process().memory_info().rss)

    def of_engine(self, stats: EngineStats) -> None:
        """What the engine does and did."""
        for name, text, now in (
            ("vllm:num_requests_running", "Sequences that hold a row.", stats.num_active),
            ("vllm:num_requests_waiting", "Sequences that wait.", stats.num_waiting),
            ("vllm:kv_cache_usage_perc", "Share of the blocks in use, 0 to 1.", stats.kv_usage),
            (f"{OWN}:waiting_prompt_tokens", "Tokens they will read.", stats.waiting_tokens),
            (f"{OWN}:adapters_resident", "Adapters that are loaded.", len(stats.adapters)),
            (f"{OWN}:adapter_bytes", "Their size.", stats.adapter_bytes),
            (f"{OWN}:kv_bytes", "Memory for keys and values.", stats.state_bytes),
            (f"{OWN}:engine_step_age_seconds", "Since it got on.", stats.last_step_age),
        ):
            self.gauge(name, text, now)
        for name, text, total in (
            ("vllm:prefix_cache_queries", "Prompt tokens looked up.", stats.prefix_queries),
            ("vllm:prefix_cache_hits", "Of them found.", stats.cached_tokens),
            ("vllm:num_preemptions", "Sequences that gave way.", stats.preemptions),
            ("vllm:prompt_tokens", "Prompt tokens read.", stats.prompt_tokens),
            ("vllm:generation_tokens", "Tokens generated.", stats.generated_tokens),
            ("vllm:spec_decode_num_drafts", "Times of guessing.", stats.drafts.drafts),
            ("vllm:spec_decode_num_draft_tokens", "Tokens guessed.", stats.drafts.tokens),
            ("vllm:spec_decode_num_accepted_tokens", "Rightly.", stats.drafts.accepted),
            (f"{OWN}:engine_steps", "Forward calls.", stats.num_steps),
        ):
            self.counter(name, text, total)
        blocks = stats.blocks
        by_state = {"free": blocks.free, "cached": blocks.cached, "active": blocks.active}
        counts = {state: float(count) for state, count in by_state.items()}
        self.gauges(f"{OWN}:kv_blocks", "Blocks of keys and values.", "state", counts)
        self.histogram("vllm:iteration_tokens_total", "Tokens of a step.", stats.step_tokens)
        text = "From the request to a row."
        self.histogram("vllm:request_queue_time_seconds", text, stats.queue_seconds)

    def of_learning(self, jobs: Mapping[str, int], swaps: int) -> None:
        """What was learned, and what was refused."""
        states = {state: float(jobs.get(state, 0)) for state in JOB_STATES}
        self.gauges(f"{OWN}:learn_jobs", "Jobs of learning.", "state", states)
        gate = {"passed": states["live"], "refused": states["refused"]}
        self.counters(f"{OWN}:learn_gate", "Verdicts on what was learned.", "result", gate)
        text = "How often a name came to mean other versions."
        self.counter(f"{OWN}:adapter_swaps", text, swaps)


@router.get("/metrics", responses={200: {"content": {"text/plain": {}}}}, response_class=Response)
async def metrics(service: Here) -> Response:
    """All numbers, in Prometheus's text form."""
    families = Families(service.config.model_name)
    families.of_requests(service.metrics)
    if (stats := service.engine_stats()) is not None:
        families.of_engine(stats)
    if service.learning is not None:
        families.of_learning(*await asyncio.to_thread(service.learning.counts))
    registry = CollectorRegistry()
    registry.register(families)
    ProcessCollector(registry=registry)
    text = await asyncio.to_thread(generate_latest, registry)
    return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)
