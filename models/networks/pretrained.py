"""Any checkpoint that a2b or spandrel knows, as a generator: to use it, and to train it further."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import EnlargerOptions
from models.networks.foreign import clean_state_dict, generator_from_state, infer_generator, load_weights
from models.networks.foreign_enlargers import scale_in_name
from models.networks.mirrored import mirrored_indices
from models.networks.probing import probe_reach
from models.networks.ranges import UNIT, UnitRange, from_unit, to_unit
from models.networks.wrapper import Wrapper
from util.errors import UserError, one_line
from util.option import option
from util.weights import local_weights


@dataclass(frozen=True)
class PretrainedOptions(EnlargerOptions):
    init_from: str | None = option(None, "the weight file that tells the architecture, and where training begins")


@dataclass(frozen=True)
class Known:
    """A network that was recognised, with its weights; ``call`` runs it on images in [0,1].

    ``foreign``: it is spandrel's, and ``call`` makes an image that is too small large enough.
    """

    network: nn.Module
    call: Callable[[nn.Module, Tensor], Tensor]
    architecture: str
    scale: int
    size_multiple: int
    input_nc: int
    output_nc: int
    foreign: bool = False


class Pretrained(Wrapper, UnitRange):
    """(N,input_nc,H,W) in [0,1] -> (N,output_nc,scale*H,scale*W) by whatever network a weight file holds.

    As built it waits for weights; :meth:`adopt` reads the architecture off them. What is saved here opens where
    the file came from.
    """

    def __init__(self, scale: int = 1) -> None:
        super().__init__()
        self.scale = scale
        self.known: Known | None = None
        self.network: nn.Module | None = None
        self.waiting = nn.Parameter(torch.zeros(0))  # so that it counts as a network whose weights are to be loaded

    def adopt(self, state: Mapping[str, Tensor], source: str = "the weights") -> None:
        """Become the network that the weights belong to, unless it is one already; UserError if none is known."""
        if not self.waits:
            return
        known = recognise(state, source, self.scale)
        self.scale, self.size_multiple = known.scale, known.size_multiple
        self.network = known.network.train(self.training)
        self.known = dataclasses.replace(known, network=nn.Identity())  # the network itself is a child, and copied so
        del self.waiting

    @property
    def receptive_field(self) -> int:
        """Return how far the network sees; AttributeError where it sees the whole image, or is not known yet."""
        if self.waits or self._reach is None:
            raise AttributeError(f"{type(self.network).__name__} sees the whole image")
        return self._reach

    @functools.cached_property
    def _reach(self) -> int | None:
        if self.known is None or not self.known.foreign:
            return getattr(self.network, "receptive_field", None)
        device = next(self.parameters()).device
        return probe_reach(lambda x: self.published(x.to(device)), self.known.input_nc, self.size_multiple)

    def own_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of a file under the keys that the network within has."""
        return dict(recognise(state, "the weights", self.scale).network.state_dict())

    def published(self, x: Tensor) -> Tensor:
        if self.network is None or self.known is None:
            raise UserError("--netG pretrained has no weights yet: name their file by --init_from")
        return self.known.call(self.network, x)

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Leave the weights as they were read."""


def recognise(state: Mapping[str, Tensor], source: str, scale: int = 1) -> Known:
    """Return the network that the weights belong to, in float32, by a2b or by spandrel; UserError if neither knows.

    Args:
        scale: of networks whose weights do not tell it.
    """
    state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    try:
        name, values, input_nc, output_nc = infer_generator(state)
        network: Any = generator_from_state(state, scale)
    except UserError:
        return _by_spandrel(state, source)
    unit = getattr(network, "value_range", None) == UNIT
    call = _plainly if unit else _from_symmetric
    return Known(network, call, name, getattr(network, "scale", 1), network.size_multiple, input_nc, output_nc)


def _plainly(network: nn.Module, x: Tensor) -> Tensor:
    return network(x)


def _from_symmetric(network: nn.Module, x: Tensor) -> Tensor:
    return to_unit(network(from_unit(x)))


def _by_spandrel(state: dict[str, Tensor], source: str) -> Known:
    try:
        import spandrel
    except ImportError:
        raise UserError(f"{source}: no network of a2b; others need: pip install spandrel") from None
    try:
        found = spandrel.ModelLoader().load_from_state_dict(spandrel.canonicalize_state_dict(state))
    except Exception as error:  # whatever a reader of foreign files runs into
        raise UserError(f"{source}: neither a2b nor spandrel knows this network ({one_line(error)})") from error
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise UserError(f"{source}: a {found.architecture.name} wants more than an image; give a network of images")
    call = getattr(found, "_call_fn", _plainly)  # some of its networks return more than the image
    fitted = functools.partial(_fitted, call, found.size_requirements.get_padding, found.scale)
    facts = found.scale, found.size_requirements.multiple_of, found.input_channels, found.output_channels
    return Known(found.model, fitted, found.architecture.id, *facts, foreign=True)


def _fitted(
    call: Callable[[nn.Module, Tensor], Tensor],
    get_padding: Callable[[int, int], tuple[int, int]],
    scale: int,
    network: nn.Module,
    x: Tensor,
) -> Tensor:
    """Return the network's output for any size of ``x``, padded and cropped as spandrel does."""
    height, width = x.shape[-2:]
    right, below = get_padding(width, height)
    rows, columns = mirrored_indices(height, height + below), mirrored_indices(width, width + right)
    padded = x[..., rows, :][..., columns]  # a copy always: some networks scale what they are given in place
    return call(network, padded)[..., : height * scale, : width * scale]


def load_pretrained(path: str | pathlib.Path, scale: int = 1) -> Pretrained:
    """Return the generator that a .pth or .safetensors file holds; ``known`` says what it is.

    ``scale`` is for weights that fit every one, unless the file's name has an x3 or the like in it.

    It maps [0,1] to [0,1]; its :meth:`adapt` makes that [-1,1]. UserError where the file cannot be read, or neither
    a2b nor spandrel knows the network.
    """
    network = Pretrained(scale_in_name(pathlib.Path(path).name) or scale)
    network.adopt(clean_state_dict(load_weights(path)), str(path))
    return network


@GENERATORS.register("pretrained", options=PretrainedOptions)
def pretrained(options: PretrainedOptions, input_nc: int, output_nc: int) -> Pretrained:
    """The network of the weight file --init_from, whatever a2b or spandrel know, to be trained further."""
    file = local_weights(options.init_from, "--init_from") if options.init_from else None
    if file is None or not file.is_file():
        return Pretrained(options.scale)  # a run's own weights will tell
    network = load_pretrained(file, options.scale)
    known = network.known
    assert known is not None
    facts = {"scale": known.scale, "input_nc": known.input_nc, "output_nc": known.output_nc}
    wanted = {"scale": options.scale, "input_nc": input_nc, "output_nc": output_nc}
    for name, value in facts.items():
        if value != wanted[name]:
            raise UserError(f"--{name} {wanted[name]}: {options.init_from} has {value}; use --{name} {value}")
    return network
