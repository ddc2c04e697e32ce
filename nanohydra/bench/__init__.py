"""Load for a server, and what came of it: requests at chosen times, latencies, throughput."""

from nanohydra.bench.client import Reply, Target, ask
from nanohydra.bench.load import Load, LoadConfig, Round
from nanohydra.bench.stats import quantiles

__all__ = ["Load", "LoadConfig", "Reply", "Round", "Target", "ask", "quantiles"]
