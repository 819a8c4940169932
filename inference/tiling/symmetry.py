"""The eight ways to lay a square on itself, on images and on boxes of images."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from inference.tiling.boxes import Box


class Symmetry(NamedTuple):
    """Quarter turns anticlockwise, and then maybe left and right exchanged."""

    quarters: int
    mirrored: bool

    def there(self, x: Tensor) -> Tensor:
        """Return (N,C,H,W) or (N,C,W,H), turned and mirrored."""
        turned = torch.rot90(x, self.quarters, (-2, -1))
        return turned.flip(-1) if self.mirrored else turned

    def back(self, x: Tensor) -> Tensor:
        """Undo :meth:`there`."""
        return torch.rot90(x.flip(-1) if self.mirrored else x, -self.quarters, (-2, -1))

    def size(self, frame: Box) -> Box:
        """Return the frame of a turned image."""
        return Box(0, 0, frame.width, frame.height) if self.quarters % 2 else frame

    def box_back(self, box: Box, frame: Box) -> Box:
        """Return where a box of the turned image lies in the image itself, whose frame is given."""
        if self.mirrored:
            width = self.size(frame).width
            box = Box(box.top, width - box.right, box.bottom, width - box.left)
        for quarter in reversed(range(self.quarters)):
            width = frame.height if quarter % 2 else frame.width
            box = Box(box.left, width - box.bottom, box.right, width - box.top)
        return box


#: the first changes nothing
SYMMETRIES = tuple(Symmetry(quarters, mirrored) for mirrored in (False, True) for quarters in range(4))
