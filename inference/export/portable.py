"""A trained model as other programs want it: values from 0 to 1, any size, one tensor in and one out."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference.padding import SMALLEST
from inference.predictor import Predictor
from models.networks.mirrored import crop_to, mirrored_indices
from models.networks.norms import InstanceNorm2d
from util.errors import UserError

BatchNorm = nn.modules.batchnorm._BatchNorm
Norm = InstanceNorm2d | BatchNorm


@dataclass(frozen=True)
class Description:
    """What a user of the file must know; every format carries it as text.

    Args:
        source: the run and its weight file.
        input_nc: channels of the input, 3 in the order RGB.
        output_nc: channels of the output.
        input_range: file values that 0 and 1 of the input stand for, such as "0 255".
        output_range: the same of the output.
        scale: the output's height and width over the input's.
        size_multiple: what the network's own height and width divide by. Padding and cropping are part of the file.
        normalization: how the file brings its input to the network's values.
        statistics: of the norm layers: of each image, or of the training.
        channels: what those of the input are, where they are more than an image's, in their order. Who uses the file
            makes them.
        dtype: fp32, fp16 or int8 arithmetic; input and output are always float32.
    """

    source: str
    input_nc: int
    output_nc: int
    input_range: str
    output_range: str
    scale: int
    size_multiple: int
    normalization: str = "none needed: the file maps 0..1 to the network's -1..1 and back"
    statistics: str = "training"
    channels: str = "the image's"
    dtype: str = "fp32"

    def metadata(self) -> dict[str, str]:
        """Return the facts as text by name, as files store them."""
        layout = "float32, batch x channels x height x width, 0..1; any batch, height and width"
        return {"producer": "a2b", "input": layout, **{name: str(value) for name, value in asdict(self).items()}}


class PortableModel(nn.Module):
    """(N,input_nc,H,W) in [0,1] -> (N,output_nc,scale*H,scale*W) in [0,1], float32, any H and W.

    Mirrors and crops as the Predictor does, in operations that every format can express for sizes that
    are known only when the file is used.

    Args:
        predictor: of a model with one generator; it stays as it is.
        dtype: of the arithmetic between the norm layers, which always compute in float32.

    Raises:
        UserError: the method or network declares in ``not_exportable`` why it cannot be used outside PyTorch.
    """

    def __init__(self, predictor: Predictor, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        for part in (predictor.model, *predictor.model.networks().values()):
            if reason := getattr(part, "not_exportable", ""):
                raise UserError(f"{type(part).__name__} cannot be exported: {reason}")
        self.model = copy.deepcopy(predictor.model).cpu().float().requires_grad_(False)
        replace_norms(self.model)  # before eval(), which would forget whose statistics the Predictor chose
        self.eval()
        self.size_multiple, self.scale, self.dtype = predictor.size_multiple, predictor.scale, dtype
        for layer in self.model.modules():
            if not isinstance(layer, FloatNorm):
                for tensor in (*layer.parameters(recurse=False), *layer.buffers(recurse=False)):
                    tensor.data = tensor.data.to(dtype) if tensor.is_floating_point() else tensor.data

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        source = (padded(image, self.size_multiple) * 2 - 1).to(self.dtype)
        result = self.model({"A": source})[self.model.result].float() * 0.5 + 0.5
        return crop_to(result, height * self.scale, width * self.scale)


def padded(image: Tensor, multiple: int) -> Tensor:
    """Return an image as the Predictor pads it, whatever its size, in operations that exporters know."""
    wanted = ((torch.sym_max(size, SMALLEST) + multiple - 1) // multiple * multiple for size in image.shape[-2:])
    rows, columns = (mirrored_indices(*sizes) for sizes in zip(image.shape[-2:], wanted, strict=True))
    return image.index_select(-2, rows).index_select(-1, columns)


class FloatNorm(nn.Module):
    """A norm layer that computes in float32 whatever its input, so that half precision neither overflows nor rounds.

    Args:
        norm: a batch or instance norm; one that normalises by statistics of its input does so for each image.
    """

    mean: Tensor | None
    variance: Tensor | None

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        fixed = isinstance(norm, BatchNorm) and not per_image(norm)
        self.register_buffer("mean", norm.running_mean if fixed else None)  # type: ignore[arg-type]
        self.register_buffer("variance", norm.running_var if fixed else None)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        if self.mean is None:
            return F.instance_norm(wide, weight=self.weight, bias=self.bias, eps=self.eps).to(x.dtype)
        return F.batch_norm(wide, self.mean, self.variance, self.weight, self.bias, eps=self.eps).to(x.dtype)


def per_image(norm: Norm) -> bool:
    """Tell whether a norm layer, as the Predictor left it, takes its statistics from the image."""
    return isinstance(norm, InstanceNorm2d) or norm.training or norm.running_mean is None


def normalizes_each_image(model: nn.Module) -> bool:
    """Tell whether any norm layer of a model takes its statistics from the image."""
    return any(per_image(norm) for _, _, norm in _norms(model))


def replace_norms(model: nn.Module) -> None:
    """Put a :class:`FloatNorm` in the place of every norm layer."""
    for parent, name, norm in list(_norms(model)):
        setattr(parent, name, FloatNorm(norm))


def _norms(model: nn.Module) -> Iterator[tuple[nn.Module, str, Norm]]:
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, Norm):
                yield parent, name, child
