"""Images beyond their lower and right borders, so that a network can take them."""

from __future__ import annotations

from torch import Tensor

from models.networks.mirrored import mirrored_indices

SMALLEST = 16  # pixels; below it the reflection padding inside some networks is wider than their feature maps


def padded_side(size: int, multiple: int) -> int:
    """Return the next size that a network can take."""
    wanted = max(size, SMALLEST)
    return wanted + -wanted % multiple


def pad(image: Tensor, multiple: int) -> Tensor:
    """Return (N,C,H,W) mirrored beyond its lower and right borders, as spandrel does, to sides a network can take."""
    wanted = tuple(padded_side(size, multiple) for size in image.shape[-2:])
    if wanted == tuple(image.shape[-2:]):
        return image
    rows, columns = (mirrored_indices(*sizes, 0, image.device) for sizes in zip(image.shape[-2:], wanted, strict=True))
    return image.index_select(-2, rows).index_select(-1, columns)


def crop(image: Tensor, original: Tensor, multiple: int) -> Tensor:
    """Return the part of a padded image's result that belongs to the original, which it may enlarge."""
    height, width = original.shape[-2:]
    scale = image.shape[-2] // padded_side(height, multiple)
    return image[..., : height * scale, : width * scale]
