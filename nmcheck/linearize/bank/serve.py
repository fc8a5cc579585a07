"""Models of new images from the nearest point of a bank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nmcheck.affine import AffineMap
from nmcheck.counting import counted
from nmcheck.errors import BankError
from nmcheck.execute.program import Program
from nmcheck.graph.ir import Graph
from nmcheck.linearize.bank.content import KeptInner, decode_inner
from nmcheck.linearize.bank.make import around
from nmcheck.linearize.bank.nearest import nearest
from nmcheck.linearize.bank.store import BankFile
from nmcheck.linearize.two_stage import two_stage_at

Anchor = Literal["point", "image"]


@dataclass(frozen=True, eq=False)
class ServedModel:
    """B relu(A x + c1) + C x + c2 of a bank's point, as far as a new image's moments need it, in double precision.

    Attributes:
        units: A x + c1 at the image.
        inner: A, or its Gram matrix.
        outer: B and c2.
        skip: C; None at a cut.
        cross: A C'; None at a cut.
    """

    units: Float[Tensor, " p"]
    inner: KeptInner
    outer: AffineMap
    skip: Float[Tensor, "d n"] | None
    cross: Float[Tensor, "p d"] | None


class BankServer:
    """Serves a complete bank of one network.

    A, B and C are a point's. The constants are the point's too (anchor ``point``, extension paper, section 3.3): the
    units' means are then the network's own at the point plus one Jacobian-vector product there. Or they are chosen such
    that the model is the network's own at the image (anchor ``image``): c1 = a(x) - A x and c2 = R(x) - B relu(a(x)) -
    C x, one forward pass there, so that only the slopes are borrowed.

    Args:
        file: the bank.
        graph: the network, behind its input scaling.

    Attributes:
        header: what the bank says of itself.
        points: where it linearizes.

    Raises:
        BankError: points are missing, or the bank is damaged.
    """

    def __init__(self, file: BankFile, graph: Graph) -> None:
        self._file = file
        self.header = file.header
        missing = int((~file.done).sum())
        if missing:
            raise BankError(
                f"{file.path}: {missing:,} of the bank's {counted(self.header.points, 'point')} "
                f"{'is' if missing == 1 else 'are'} missing; complete it with nmcheck bank build --resume."
            )
        self.points = file.points
        node = graph.by_name[self.header.cut]
        self._linearizer = two_stage_at(Program(graph, torch.float64), node, holds_matrices=False)
        self._constants = file.constants()
        self._inner = decode_inner(self._constants, self.header) if self.header.inner_is_constant else None

    def match(self, images: Float[np.ndarray, "m n"]) -> tuple[Int64[np.ndarray, " m"], Float[np.ndarray, " m"]]:
        """The nearest point of every image, and how far it is."""
        return nearest(self.points.centers, images)

    def model(self, index: int, image: Float[Tensor, " n"], anchor: Anchor = "point") -> ServedModel:
        """The model of a point, for an image near it.

        Args:
            index: of the point.
            image: flattened, in pixel units.
            anchor: where the model agrees with the network.
        """
        header = self.header
        kept = {**self._constants, **self._file.read(index)}
        x = image.double().cpu().reshape(header.input_shape)
        inner = self._inner or decode_inner(kept, header)
        outer = AffineMap(torch.from_numpy(kept["outer"]).double(), torch.from_numpy(kept["bias"]))
        skip = torch.from_numpy(kept["skip"]).double() if "skip" in kept else None
        cross = None
        if skip is not None:
            cross = torch.from_numpy(kept["cross"]).double() if inner.matrix is None else inner.matrix @ skip.mT
        if anchor == "image":
            units, logits = self._linearizer.values_at(x)
            passed = 0.0 if skip is None else skip @ x.flatten()
            outer = AffineMap(outer.weight, logits - outer.weight @ torch.relu(units) - passed)
        else:
            center = torch.from_numpy(self.points.centers[index]).reshape(header.input_shape)
            units = self._linearizer.units_over([point.double() for point in around(center, header, index)], x)
        return ServedModel(units, inner, outer, skip, cross)
