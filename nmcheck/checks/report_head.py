"""The part of a report that says what was analysed."""

from __future__ import annotations

from nmcheck.checks.case import Case
from nmcheck.data import describe_selection
from nmcheck.results import DataEntry, ModelEntry


def model_entry(case: Case) -> ModelEntry:
    """The model."""
    info, graph = case.graph.model, case.graph
    return ModelEntry(
        path=info.path,
        fingerprint=info.fingerprint,
        opset=info.opset,
        producer=info.producer,
        input_shape=graph.shapes[graph.input],
        classes=case.single.classes,
        masked=graph.masked,
    )


def data_entry(case: Case, samples: int, seed: int, accuracy: float | None) -> DataEntry:
    """The images.

    Args:
        case: what was analysed.
        samples: how many images were asked for.
        seed: seed of their choice.
        accuracy: share of those used that are classified as labelled.
    """
    return DataEntry(
        name=case.dataset.name,
        samples=len(case.pixels),
        available=len(case.dataset),
        selection=describe_selection(case.dataset, samples, seed),
        sha256=case.sha256,
        scale=case.scale.name,
        scale_source=case.scale.source,
        labels="predicted" if case.labels is None else "given",
        accuracy=accuracy,
        accuracy_reason="the data has no labels" if accuracy is None else None,
    )
