"""How well edits hold: probes from records, the harness that asks them, and what each figure means."""

from lifelong.evaluation.edited import Edited
from lifelong.evaluation.harness import evaluate
from lifelong.evaluation.metrics import Metrics
from lifelong.evaluation.table import format_table

__all__ = ["Edited", "Metrics", "evaluate", "format_table"]
