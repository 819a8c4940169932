"""The history of generated images that discriminators see (Shrivastava et al. 2017, arXiv:1612.07828)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class ImagePool:
    """Keep up to ``size`` images; a full pool answers each image, at even odds, by itself or by an older one.

    Images with values that are not finite do not stay. The draws come from the generator that each query brings, so
    they repeat exactly after a resume.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def query(self, images: Iterable[Tensor], random: torch.Generator) -> list[Tensor]:
        """Return (C,H,W) images, some of them replaced by earlier ones of the same size."""
        if self.size == 0:
            return list(images)
        return [self._exchange(image.detach(), random) for image in images]

    def _exchange(self, image: Tensor, random: torch.Generator) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image.nan_to_num())
            return image
        keep, slot = torch.rand((), generator=random).item() < 0.5, torch.randint(self.size, (), generator=random)
        older = self.images[int(slot)]
        if keep or older.shape != image.shape:
            return image
        self.images[int(slot)] = torch.where(torch.isfinite(image).all(), image, older)
        return older

    def copy(self) -> ImagePool:
        """Return a pool with the same images, to go back to; the images themselves never change."""
        twin = ImagePool(self.size)
        twin.images = list(self.images)
        return twin

    def state_dict(self) -> list[Tensor]:
        """Return the stored images on the CPU."""
        return [image.to("cpu", copy=True) for image in self.images]

    def load_state_dict(self, images: list[Tensor], device: torch.device) -> None:
        """Take over stored images."""
        self.images = [image.to(device) for image in images]
