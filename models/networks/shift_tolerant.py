"""AlexNet as shift-tolerant LPIPS has it (Ghildyal and Liu 2022, arXiv:2207.13686)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BlurPool(nn.Module):
    """Halve the size behind a [1,2,1] filter over reflected borders (Zhang 2019); ``padding`` on each side."""

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """Map (N,C,H,W) to (N,C,~H/2,~W/2)."""
        line = x.new_tensor([0.25, 0.5, 0.25])
        kernel = torch.outer(line, line).expand(x.shape[1], 1, 3, 3)
        padded = nn.functional.pad(x, [self.padding] * 4, mode="reflect")
        return nn.functional.conv2d(padded, kernel, stride=2, groups=x.shape[1])


class ShiftTolerantAlexNet(nn.Module):
    """AlexNet without large strides, each replaced by a blur pool (Ghildyal and Liu 2022); returns five features."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            *(nn.Conv2d(3, 64, 11, padding=2), BlurPool(2), nn.ReLU()),
            *(nn.MaxPool2d(3, 1), BlurPool(2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU()),
            *(nn.MaxPool2d(3, 1), BlurPool(2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
        ]
        for number, (begin, end) in enumerate([(0, 3), (3, 7), (7, 11), (11, 13), (13, 15)], start=1):
            part = nn.Sequential()
            for index in range(begin, end):
                part.add_module(str(index), layers[index])
            self.add_module(f"slice{number}", part)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features after each of the five parts for (N,3,H,W)."""
        features = []
        for part in self.children():
            x = part(x)
            features.append(x)
        return features
