"""Engine ``bank``: moments of new images from the linearizations that a bank keeps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from nmcheck.affine import AffineMap, AffineReluAffine
from nmcheck.checks.case import Case
from nmcheck.checks.cut import choose_cut
from nmcheck.checks.engines import MOMENTS, LogitMoments
from nmcheck.checks.options import ANCHORS, AnalyzeOptions
from nmcheck.checks.plan import LINEARIZED
from nmcheck.counting import counted
from nmcheck.errors import BankError, UsageError
from nmcheck.linearize.bank.fit import misfit
from nmcheck.linearize.bank.header import Header
from nmcheck.linearize.bank.serve import Anchor, BankServer, ServedModel
from nmcheck.linearize.bank.store import BankFile
from nmcheck.moments.affine_relu_affine import gram_matrix
from nmcheck.moments.gaussian import GaussianInput, Isotropic
from nmcheck.moments.summary import SkipSummary, Summary, summary_covariance, summary_mean
from nmcheck.results.bank import BankUse

BEYOND = (
    "{count} of the {images} {lie} farther from the nearest point of the bank ({worst:.3g}) than any image it was "
    "made for ({limit:.3g}); the linearization there may say little about them, so compare with --engine two-stage."
)
AVERAGED_BANK = "bank: the linearizations are averages over {points} inputs a point, under noise of sigma {sigma:g}."


class BankEngine:
    """Serves the images of a case from a bank.

    Args:
        server: the bank.
        case: the images.
        path: the bank's file, for the report.
        anchor: where a served model agrees with the network.

    Attributes:
        header: what the bank says of itself.
    """

    def __init__(self, server: BankServer, case: Case, path: str, anchor: Anchor = "point") -> None:
        self.header = server.header
        self._server, self._case, self._path = server, case, path
        self._anchor: Anchor = anchor
        start = time.perf_counter()
        self._nearest, self._distance = server.match(case.pixels.reshape(len(case.pixels), -1))
        self._seconds_to_match = (time.perf_counter() - start) / len(case.pixels)
        # 1e-7 of the pairs is nothing beside the 2^-11 that float16 leaves of their correlations.
        self._pairs = torch.float32 if server.header.storage.dtype == "float16" else torch.float64
        self._row = -1
        self._model: ServedModel | None = None
        self._seconds = 0.0

    def moments(self, row: int, x: GaussianInput) -> tuple[LogitMoments, float]:
        """What the bank says of one image at a noise level, and the seconds it took."""
        if row != self._row or self._model is None:
            start = time.perf_counter()
            self._model = self._server.model(int(self._nearest[row]), x.mean, self._anchor)
            self._row = row
            self._seconds = time.perf_counter() - start + self._seconds_to_match
        start = time.perf_counter()
        found = _moments(self._model, x, self._case.device, self._pairs)
        return found, time.perf_counter() - start + self._seconds

    def forget(self) -> None:
        """The model of the last image, as if another had been asked for."""
        self._model = None

    @property
    def use(self) -> BankUse:
        """For the report."""
        header, limit = self.header, self._limit
        return BankUse(
            path=self._path,
            points=header.points,
            choice=header.choice,
            storage=header.storage.name,
            dtype=header.storage.dtype,
            anchor=self._anchor,
            data_sha256=header.data_sha256,
            distance_mean=float(self._distance.mean()),
            distance_median=float(np.median(self._distance)),
            distance_largest=float(self._distance.max()),
            distance_members=limit,
            beyond=int((self._distance > limit).sum()),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        header = self.header
        if header.linearizer != "averaged":
            return ()
        return (AVERAGED_BANK.format(points=2 * header.pairs, sigma=header.sigma),)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should doubt."""
        use = self.use
        if not use.beyond:
            return ()
        return (
            BEYOND.format(
                count=f"{use.beyond:,}",
                images=counted(len(self._distance), "image"),
                lie="lies" if use.beyond == 1 else "lie",
                worst=use.distance_largest,
                limit=use.distance_members,
            ),
        )

    @property
    def _limit(self) -> float:
        return float(self._server.points.reach.max())


def _moments(model: ServedModel, x: GaussianInput, device: str, pairs: torch.dtype) -> LogitMoments:
    mean = x.mean.cpu()
    if isinstance(x.structure, Isotropic):
        skip = None
        if model.skip is not None and model.cross is not None:
            skip = SkipSummary(model.skip @ mean, model.skip @ model.skip.mT, model.cross)
        summary = Summary(model.units, model.inner.gram, model.outer, skip)
        covariance = summary_covariance(summary, float(x.sigma), pairs=pairs)
        found = LogitMoments(summary_mean(summary, float(x.sigma)), covariance.diagonal(), covariance)
    else:
        matrix = model.inner.matrix
        assert matrix is not None
        network = AffineReluAffine(AffineMap(matrix, model.units - matrix @ mean), model.outer, model.skip)
        on_processor = GaussianInput(mean, x.sigma, x.structure)
        found = MOMENTS["two-stage"](network, on_processor, gram_matrix(network.inner, x.structure))
    covariance = found.covariance
    return LogitMoments(
        found.mean.to(device), found.variance.to(device), None if covariance is None else covariance.to(device)
    )


@contextmanager
def open_bank(case: Case, options: AnalyzeOptions) -> Iterator[BankEngine | None]:
    """The bank asked for, if it fits the case.

    Raises:
        BankError: it is missing, damaged, not complete, or of another model, cut or scale.
        UsageError: it cannot serve the noise or the linearizer asked for.
    """
    if options.bank is None:
        yield None
        return
    with BankFile(options.bank) as file:
        check_fit(file.header, case, options)
        yield BankEngine(BankServer(file, case.graph), case, str(options.bank), ANCHORS[options.bank_anchor])


def check_fit(header: Header, case: Case, options: AnalyzeOptions) -> None:
    """Refuse a bank of something else; errors as of ``open_bank``."""
    path, graph = options.bank, case.graph
    check_model(header, case, str(path))
    if options.cut not in (None, header.cut):
        node = None if options.cut == "best" else choose_cut(graph, options.cut or "last")
        if node is None or node.name != header.cut:
            raise BankError(
                f"{path}: the bank is linearized around {header.cut}, not around --cut {options.cut}; leave --cut out "
                "or build another bank."
            )
    # Taylor's is the default, so that only the other one is known to have been asked for.
    something_averages = header.linearizer == "averaged" or any(engine in LINEARIZED for engine in options.engines)
    if options.linearizer == "averaged" and not something_averages:
        raise UsageError(
            f"{path}: the bank's linearizations are of --linearizer {header.linearizer}, and no other engine is asked "
            "for that could be averaged; leave --linearizer averaged out, add --engine two-stage, or build a bank with "
            "--linearizer averaged."
        )
    if header.linearizer == "averaged" and options.bank_anchor != "point":
        raise UsageError(
            f"{path}: the bank's linearizations are averages, whose values at an image are averages too; "
            "--bank-anchor image is for banks of --linearizer taylor."
        )
    for sigma in options.sigmas:
        if header.sigma is not None and sigma != header.sigma:
            raise UsageError(
                f"{path}: the bank's linearizations are averages under noise of --sigma {header.sigma:g} and serve no "
                f"other level, and --sigma {sigma:g} is asked for; build a bank for that."
            )
    if not case.noise.law.gaussian:
        raise UsageError(f"{path}: a bank serves Gaussian noise only, and --noise is {case.noise.kind}.")
    if case.noise.kind != "isotropic" and header.storage.kind != "full":
        raise UsageError(
            f"{path}: the bank keeps {header.storage.name}, which serves isotropic noise only; for --noise build one "
            "with --store full."
        )


def check_model(header: Header, case: Case, path: str) -> None:
    """Refuse a bank of another model or scale.

    Raises:
        BankError: it is.
    """
    graph = case.graph
    if header.model_fingerprint != graph.model.fingerprint or header.cut not in graph.by_name:
        raise BankError(
            f"{path}: the bank was made of another model (fingerprint {header.model_fingerprint[:16]}) than "
            f"{graph.model.path} ({graph.model.fingerprint[:16]}); build a bank of this one."
        )
    wrong = misfit(header, graph)
    if wrong is not None:
        raise BankError(f"{path}: the bank is damaged: {wrong}; delete the file and build it again.")
    gain, offset = (tuple(float(value) for value in part.ravel()) for part in (case.scale.gain, case.scale.offset))
    if (gain, offset) != (header.gain, header.offset):
        raise BankError(
            f"{path}: the bank was made with --scale {header.scale}, and here the scale is {case.scale.name}; give the "
            "same --scale or build another bank."
        )
