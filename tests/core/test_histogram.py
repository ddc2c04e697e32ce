"""Histograms count as prometheus_client's do."""

from __future__ import annotations

import random

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as Reference

from nanohydra.core.histogram import Histogram


def test_it_counts_as_the_reference_does() -> None:
    bounds = (0.1, 1.0, 5.0)
    ours = Histogram(bounds)
    theirs = Reference("x", "y", buckets=bounds, registry=CollectorRegistry())
    generator = random.Random(0)
    values = [*bounds, 0.0, 100.0, *(generator.uniform(0, 7) for _ in range(200))]
    for value in values:
        ours.observe(value)
        theirs.observe(value)
    together = Histogram(bounds)
    together.observe_all(values)
    together.observe_all([])
    assert together.cumulative() == ours.cumulative()
    assert together.total == pytest.approx(ours.total)
    (family,) = theirs.collect()
    wanted = [sample.value for sample in family.samples if sample.name == "x_bucket"]
    assert ours.cumulative() == wanted
    assert [ours.total] == [s.value for s in family.samples if s.name == "x_sum"]
