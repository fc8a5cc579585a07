"""What the linearizing engines and the reference's control variate need at an image and a noise level."""

from __future__ import annotations

import time

from torch import Tensor

from nmcheck.affine import AffineReluAffine
from nmcheck.checks.case import Case
from nmcheck.linearize.jacobian import jacobian
from nmcheck.linearize.linearizer import Linearizer
from nmcheck.moments.affine_relu_affine import gram_matrix
from nmcheck.moments.gaussian import GaussianInput


class ImageModel:
    """The network linearized at one image after the other, made anew no more often than need be.

    Args:
        case: the network.
        linearizer: makes the model around a cut; None where no engine wants one.
        pairs: draws of the noise for a linearizer that depends on it.

    Attributes:
        seconds: what the current model took.
    """

    def __init__(self, case: Case, linearizer: Linearizer | None, pairs: int) -> None:
        self._case = case
        self._linearizer = linearizer
        self._pairs = pairs
        self._affine: AffineReluAffine | None = None
        self._gram: Tensor | None = None
        self._image: Tensor | None = None
        self.seconds = 0.0

    def move_to(self, image: Tensor) -> None:
        """Go on to an image."""
        self._image, self._affine = image, None

    def expect(self, x: GaussianInput, seed: int) -> None:
        """Linearize at the image for the noise of ``x``, unless the model for another noise serves as well."""
        linearizer, image = self._linearizer, self._image
        if linearizer is None or image is None or (self._affine is not None and not linearizer.depends_on_noise):
            return
        start = time.perf_counter()
        if not linearizer.inner_is_constant:
            # The next one is not made beside it: of wide layers there is not room for two.
            self._affine = self._gram = None
        draws = x.draws(self._pairs, seed)
        self._affine = linearizer.at(image, draws.reshape(-1, *image.shape))
        if self._gram is None or not linearizer.inner_is_constant:
            self._gram = gram_matrix(self._affine.inner, x.structure)
        self.seconds = time.perf_counter() - start

    @property
    def affine(self) -> AffineReluAffine:
        """The model around the cut."""
        assert self._affine is not None
        return self._affine

    @property
    def gram(self) -> Tensor:
        """Its Gram matrix."""
        assert self._gram is not None
        return self._gram

    @property
    def slope(self) -> Tensor:
        """The derivative of the logits at the image, the model's if there is one."""
        assert self._image is not None
        if self._affine is not None:
            return self._affine.jacobian(self._image.flatten())
        graph = self._case.graph
        function = self._case.double.function(graph.input, graph.logits)
        shape = self._image.shape
        return jacobian(lambda u: function(u.reshape(shape)), self._image.flatten())[1]
