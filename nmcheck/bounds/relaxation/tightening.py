"""Intervals intersected with what going backward from single elements gives, so many elements at a time.

Where an image has very many elements and the way backward is a costly one, a few are tried first, and the others only
if that makes them narrower by more than a little: what an image's elements gain is alike within a layer. It is decided
for each image by itself, so that its bounds do not depend on the images beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nmcheck.bounds.relaxation.interval import Interval
from nmcheck.bounds.relaxation.rows import rows_of
from nmcheck.bounds.relaxation.substitution import Owner

Least = Callable[[Float[Tensor, "specs elements"], Owner], Float[Tensor, " specs"]]
"""From combinations of a value's elements and their images to a number each is never below in the region."""

_PROBED = 32
"""Elements of an image tried before all others."""
_MANY_MORE = 8
"""Times as many elements as that for which trying pays."""
_WORTH = 0.9
"""Mean width of intervals, of what it was, at which it pays to go on."""
_MANY = 32
"""Specs of an image that are worth a pass of their own."""


def tightened(
    interval: Interval, todo: Bool[Tensor, "images elements"], least: Least, rows: int, *, probe: bool
) -> Interval:
    """The interval of a value, the marked elements tightened.

    Args:
        interval: of the value.
        todo: elements to go backward from.
        least: how.
        rows: specs that fit in memory, two for each element.
        probe: whether to try a few of an image's elements before the others.
    """
    found = interval
    pairs = max(1, rows // 2)
    if probe:
        tried = _spread(todo)
        width = torch.zeros(len(todo), dtype=interval.low.dtype)
        for images, places in _chosen(tried, pairs):
            before, found = found, _intersected(found, images, places, least)
            width.index_add_(0, images, _width(found, images, places) / _width(before, images, places))
        count = tried.sum(dim=1)
        todo = todo & ~tried & (width <= _WORTH * count).unsqueeze(1)
    for images, places in _chosen(todo, pairs):
        found = _intersected(found, images, places, least)
    return found


def portions(owner: Owner, rows: int) -> Iterator[slice]:
    """Specs to go backward with together: those of one image where it has many, whose tables need no copies.

    Args:
        owner: the image of each spec, in order.
        rows: as many as fit in memory.
    """
    sorted_images, counts = owner.unique_consecutive(return_counts=True)
    lengths = counts.tolist() if len(owner) >= _MANY * len(sorted_images) else [len(owner)]
    start = 0
    for length in lengths:
        for offset in range(0, length, rows):
            yield slice(start + offset, start + min(offset + rows, length))
        start += length


def _intersected(old: Interval, images: Int[Tensor, " chosen"], places: Tensor, least: Least) -> Interval:
    low, high = rows_of(old.low).clone(), rows_of(old.high).clone()
    seeds = torch.zeros((2, len(images), low.shape[1]), dtype=low.dtype)
    seeds[0, torch.arange(len(images)), places] = 1
    seeds[1, torch.arange(len(images)), places] = -1
    below, negated = least(seeds.flatten(0, 1), images.repeat(2)).reshape(2, -1)
    low[images, places] = torch.maximum(low[images, places], below)
    high[images, places] = torch.minimum(high[images, places], -negated)
    return Interval(old.centre, low.reshape(old.low.shape), high.reshape(old.low.shape), old.size)


def _width(interval: Interval, images: Tensor, places: Tensor) -> Tensor:
    return rows_of(interval.high - interval.low)[images, places]


def _chosen(mask: Bool[Tensor, "images elements"], count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and elements marked, so many at a time."""
    images, places = mask.nonzero(as_tuple=True)
    for portion in portions(images, count):
        yield images[portion], places[portion]


def _spread(mask: Bool[Tensor, "images elements"]) -> Bool[Tensor, "images elements"]:
    """Some of the elements marked, evenly, of images with very many; no others."""
    tried = torch.zeros_like(mask)
    for image, marks in enumerate(mask):
        places = marks.nonzero().squeeze(1)
        if len(places) > _MANY_MORE * _PROBED:
            tried[image, places[torch.linspace(0, len(places) - 1, _PROBED).long()]] = True
    return tried
