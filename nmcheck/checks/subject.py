"""What was analysed, for the report."""

from __future__ import annotations

from nmcheck.checks.case import Case
from nmcheck.checks.options import AnalyzeOptions
from nmcheck.data import describe_selection
from nmcheck.results import DataEntry, ModelEntry


def model_entry(case: Case) -> ModelEntry:
    """The model, for the report."""
    info, graph = case.graph.model, case.graph
    return ModelEntry(
        path=info.path,
        fingerprint=info.fingerprint,
        opset=info.opset,
        producer=info.producer,
        input_shape=graph.shapes[graph.input],
        classes=case.single.classes,
    )


def data_entry(case: Case, options: AnalyzeOptions, accuracy: float | None) -> DataEntry:
    """The images used, for the report; ``accuracy`` is None if they have no labels."""
    return DataEntry(
        name=case.dataset.name,
        samples=len(case.pixels),
        available=len(case.dataset),
        selection=describe_selection(case.dataset, options.samples, options.seed),
        sha256=case.sha256,
        scale=case.scale.name,
        scale_source=case.scale.source,
        labels="predicted" if case.labels is None else "given",
        accuracy=accuracy,
        accuracy_reason="the data has no labels" if accuracy is None else None,
    )
