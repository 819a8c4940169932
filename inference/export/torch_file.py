"""Files for PyTorch itself: a torch.export program, and weights under the established keys as safetensors."""

from __future__ import annotations

import copy
import io
import json
import pathlib

import torch
from torch import Tensor
from torch.export import ExportedProgram

from inference.export.measure import Runner, runner_of
from inference.export.portable import Description
from inference.predictor import Predictor
from models.files import load_into, plain_state

METADATA = "a2b.json"  # inside the program's archive


def write_program(program: ExportedProgram, path: pathlib.Path, description: Description) -> None:
    """Save a program (.pt2) with its description; OSError where the disk is full."""
    buffer = io.BytesIO()  # torch's own writer aborts the process on a full disk
    torch.export.save(program, buffer, extra_files={METADATA: json.dumps(description.metadata(), indent=1)})
    path.write_bytes(buffer.getbuffer())


def open_program(path: pathlib.Path) -> Runner:
    """Return a saved program as a function of images in [0,1]."""
    module = torch.export.load(path).module()

    def run(image: Tensor) -> Tensor:
        with torch.no_grad():
            return module(image)

    return run


def write_weights(predictor: Predictor, path: pathlib.Path, description: Description, dtype: torch.dtype) -> None:
    """Save the generator's weights, floating ones as ``dtype``, with the description as metadata; OSError as above."""
    from safetensors.torch import save

    (network,) = predictor.model.networks().values()
    prefix = getattr(network, "file_prefix", "")  # what the published files call it, where that is how others know it
    state = {
        f"{prefix}{key}": value.to(dtype) if value.is_floating_point() else value
        for key, value in plain_state(network).items()
    }
    path.write_bytes(save(state, description.metadata()))


def open_weights(path: pathlib.Path, predictor: Predictor) -> Runner:
    """Return a predictor like the given one, with the weights of the file, as a function of images in [0,1]."""
    other = copy.deepcopy(predictor)
    (network,) = other.model.networks().values()
    load_into(network, path)
    return runner_of(other)
