"""How good a model is: likelihood of text, tasks with intervals, and the report of a run."""

from typing import TYPE_CHECKING

from nanohydra.core.lazy import lazy_names
from nanohydra.eval.config import EvalConfig

if TYPE_CHECKING:
    from nanohydra.eval.curves import Curves, read_metrics, trace_curves
    from nanohydra.eval.likelihood import Likelihood, bits_per_byte, perplexity, score_documents
    from nanohydra.eval.report import RunFacts, build_report, report_run, write_report
    from nanohydra.eval.runner import Answer, Sample, TaskResult, run_task, run_tasks
    from nanohydra.eval.stats import Interval, wilson

__all__ = [
    "Answer",
    "Curves",
    "EvalConfig",
    "Interval",
    "Likelihood",
    "RunFacts",
    "Sample",
    "TaskResult",
    "bits_per_byte",
    "build_report",
    "perplexity",
    "read_metrics",
    "report_run",
    "run_task",
    "run_tasks",
    "score_documents",
    "trace_curves",
    "wilson",
    "write_report",
]

_ORIGINS = {
    "curves": ("Curves", "read_metrics", "trace_curves"),
    "likelihood": ("Likelihood", "bits_per_byte", "perplexity", "score_documents"),
    "report": ("RunFacts", "build_report", "report_run", "write_report"),
    "runner": ("Answer", "Sample", "TaskResult", "run_task", "run_tasks"),
    "stats": ("Interval", "wilson"),
}
__getattr__ = lazy_names(
    "nanohydra.eval",
    {name: f"nanohydra.eval.{module}" for module, names in _ORIGINS.items() for name in names},
)
