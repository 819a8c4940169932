"""How far the networks for super-resolution look, from the list of their layers."""

from __future__ import annotations

from collections.abc import Sequence


def receptive_field(layers: Sequence[int], scale: int = 1, shuffled: int = 1) -> int:
    """Return the most pixels of the input to each side that a pixel of the output depends on.

    Args:
        layers: from input to output; a positive number is a convolution that looks so many pixels to each side, a
            negative one an enlargement by so much, 0 nothing.
        scale: output size over input size.
        shuffled: side of the squares of input pixels that become channels before the first layer.
    """
    reaches = []
    for position in range(scale * shuffled):
        low = high = position
        for layer in reversed(layers):
            low, high = (low // -layer, high // -layer) if layer < 0 else (low - layer, high + layer)
        own = position // scale
        reaches += [own - low * shuffled, high * shuffled + shuffled - 1 - own]
    return max(reaches)
