"""A portable model -> a graph of operations that holds for every batch, height and width."""

from __future__ import annotations

import torch
import torch.fx.experimental._config as symbolic
from torch.export import Dim, ExportedProgram

from inference.export.portable import PortableModel

_ANY = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}


def trace(model: PortableModel, input_nc: int) -> ExportedProgram:
    """Return the program of a model of ``input_nc`` channels; sizes stay symbolic."""
    step = max(model.size_multiple, 16)
    example = torch.zeros(2, input_nc, step + 7, 2 * step + 9)  # no two sizes equal, and none that needs no padding
    # Without this, sizes of 1 deep inside a U-Net would be told apart from all others.
    with symbolic.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
        return torch.export.export(
            model,
            (example,),
            dynamic_shapes={"image": _ANY},
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        )
