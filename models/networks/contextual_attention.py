"""Contextual attention: a map put together from its own known patches (Yu et al. 2018, arXiv:1801.07892)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from util.precision import widened

_RATE = 2  # patches are compared on a map of half the size
_SHARPNESS = 10.0  # of the softmax
_SMALLEST = 1e-8  # square of a patch's norm, from below
_AT_ONCE = 4096**2  # similarities in memory at a time


class ContextualAttention(nn.Module):
    """(N,C,H,W) and holes (N,1,8H/2,8W/2) -> (N,C,H,W); H and W divide by 2.

    Every 3x3 patch of the halved map is compared with all that lie outside of the holes. Similarities are added up
    along both diagonals, so that neighbours prefer neighbours; their softmax weighs the 4x4 patches of the map itself.
    """

    fuse_weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fuse_weight", torch.eye(3).view(1, 1, 3, 3))

    def forward(self, x: Tensor, holes: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            wide = widened(x)
            return self._attend(wide, holes.to(wide.dtype)).to(x.dtype)

    def _attend(self, x: Tensor, holes: Tensor) -> Tensor:
        small = F.interpolate(x, scale_factor=1 / _RATE, mode="nearest")
        queries = F.unfold(small, 3, padding=1)
        keys = queries / queries.square().sum(1, keepdim=True).clamp_min(_SMALLEST).sqrt()
        known = _known(holes, small)
        values = F.unfold(x, 2 * _RATE, padding=1, stride=_RATE)
        (height, width), count = small.shape[-2:], queries.shape[-1]
        if torch.compiler.is_exporting() or count**2 <= _AT_ONCE:
            scores = self._fused(keys.transpose(1, 2) @ queries, height, width)
            pasted = values @ _weights(scores, known)
        else:
            pasted = _in_parts(keys, queries, values, known, height, width)
        return F.fold(pasted, (_RATE * height, _RATE * width), 2 * _RATE, padding=1, stride=_RATE) / 4

    def _fused(self, scores: Tensor, height: int, width: int) -> Tensor:
        """Add (N,H*W,H*W) up along the diagonal, counting pixels by rows and then by columns."""
        weight, shape = self.fuse_weight.to(scores.dtype), scores.shape
        scores = F.conv2d(scores[:, None], weight, padding=1).view(-1, height, width, height, width)
        scores = scores.transpose(1, 2).transpose(3, 4).reshape(-1, 1, *shape[1:])
        scores = F.conv2d(scores, weight, padding=1).view(-1, width, height, width, height)
        return scores.transpose(1, 2).transpose(3, 4).reshape(shape)


def _known(holes: Tensor, small: Tensor) -> Tensor:
    """Return (N,H*W,1): 1 where the 3x3 patch of the halved map touches no hole."""
    mask = F.interpolate(holes, scale_factor=1 / (4 * _RATE), mode="nearest")
    return (F.max_pool2d(mask, 3, 1, 1) == 0).to(small.dtype).flatten(2).transpose(1, 2)


def _weights(scores: Tensor, known: Tensor) -> Tensor:
    """Return how much each known patch (rows) counts for each place (columns); unknown ones take part as zeros."""
    return F.softmax(scores * known * _SHARPNESS, 1) * known


def _in_parts(keys: Tensor, queries: Tensor, values: Tensor, known: Tensor, height: int, width: int) -> Tensor:
    """Return what all places together would, a part of them at a time, for maps whose similarities fill the memory."""
    moves = [(rows, columns) for columns in (-1, 0, 1) for rows in (-1, 0, 1)]
    parts = []
    for places in torch.arange(queries.shape[-1], device=keys.device).split(max(1, _AT_ONCE // queries.shape[-1])):
        scores = keys.new_zeros(len(keys), keys.shape[-1], len(places))
        for move in moves:
            own, others = (_neighbour(x, *move, height, width) for x in (queries, keys))
            scores += others.transpose(1, 2) @ own[..., places]
        parts.append(values @ _weights(scores, known))
    return torch.cat(parts, -1)


def _neighbour(x: Tensor, rows: int, columns: int, height: int, width: int) -> Tensor:
    """Return for each pixel of (N,C,H*W) the one ``columns`` on by columns, from there ``rows`` on by rows; or zero."""
    x = _moved(x, rows).unflatten(-1, (height, width)).transpose(-1, -2).flatten(-2)
    return _moved(x, columns).unflatten(-1, (width, height)).transpose(-1, -2).flatten(-2)


def _moved(x: Tensor, steps: int) -> Tensor:
    return F.pad(x, (-steps, steps))
