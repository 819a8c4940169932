"""The loader that a textbook would write with Pillow and torchvision, to compare ours with."""

from __future__ import annotations

import pathlib
import random

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

_HALF = [0.5, 0.5, 0.5]


class TextbookPairs(torch.utils.data.Dataset[dict[str, Tensor]]):
    """A and B side by side in each file: open, convert, split, resize, crop and mirror alike, to [-1,1]."""

    def __init__(self, folder: pathlib.Path, load_size: int = 286, crop_size: int = 256) -> None:
        self.files = sorted(folder.iterdir())
        self.load_size, self.crop_size = load_size, crop_size

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        image = Image.open(self.files[index]).convert("RGB")
        half = image.width // 2
        parts = image.crop((0, 0, half, image.height)), image.crop((half, 0, image.width, image.height))
        top, left = (random.randint(0, self.load_size - self.crop_size) for _ in range(2))
        mirror = random.random() < 0.5
        a, b = (self._transform(part, top, left, mirror) for part in parts)
        return {"A": a, "B": b}

    def _transform(self, image: Image.Image, top: int, left: int, mirror: bool) -> Tensor:
        resized = F.resize(image, [self.load_size, self.load_size], InterpolationMode.BICUBIC)
        return _finished(F.crop(resized, top, left, self.crop_size, self.crop_size), mirror)


class TextbookCrops(torch.utils.data.Dataset[dict[str, Tensor]]):
    """One random crop of each file: open, convert, crop, mirror, to [-1,1]."""

    def __init__(self, folder: pathlib.Path, crop_size: int = 256) -> None:
        self.files, self.crop_size = sorted(folder.iterdir()), crop_size

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        image = Image.open(self.files[index]).convert("RGB")
        top = random.randint(0, image.height - self.crop_size)
        left = random.randint(0, image.width - self.crop_size)
        cropped = F.crop(image, top, left, self.crop_size, self.crop_size)
        return {"A": _finished(cropped, random.random() < 0.5)}


def _finished(image: Image.Image, mirror: bool) -> Tensor:
    return F.normalize(F.to_tensor(F.hflip(image) if mirror else image), _HALF, _HALF)
