"""Make the networks and losses that the flags chose, with seeded weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from data.inputs import Inputs
from models.networks.around import Around
from models.networks.common import AroundOptions
from models.networks.initialise import init_weights
from models.networks.ranges import in_symmetric_range
from util.errors import UserError

Choice = tuple[Callable[..., Any], Any]
_ONLY_FROM_A = (
    "--context, --coordinates and --input_norms add to the images of domain A alone, and this method does more than to "
    "translate these as they are: use --model pix2pix, template, sr, or semi without --lambda_cycle"
)


@dataclass(frozen=True)
class Channels:
    """Channels of the two domains; those of A with what generators see beside the image."""

    A: int
    B: int


class Builder:
    """Hands a method its parts; the same seed gives the same weights.

    Args:
        choices: selector flag -> (component, its options), for example ``{"netG": (unet_256, UnetOptions())}``.
        channels: channels of domains A and B.
        seed: of the initial weights.
        open_run: gives the generator of a run, by its name or folder, for methods that learn from one.
        around: what is put around generators.
        inputs: what the channels of A are, where there are more of them than an image's.
    """

    def __init__(
        self,
        choices: Mapping[str, Choice],
        channels: Channels,
        seed: int = 0,
        open_run: Callable[[str], nn.Module] | None = None,
        around: AroundOptions | None = None,
        inputs: Inputs | None = None,
    ) -> None:
        self.choices, self.channels, self._open_run = choices, channels, open_run
        self._around, self._inputs = around or AroundOptions(), inputs
        self._random = torch.Generator().manual_seed(seed)

    def with_channels(self, A: int, B: int) -> Builder:
        """Return a builder for other channels; both draw from one stream of weights."""
        twin = copy.copy(self)
        twin.channels = Channels(A, B)
        return twin

    def generator(self, input_nc: int, output_nc: int) -> nn.Module:
        """Return a new ``--netG`` network, which maps [-1,1] to [-1,1], with what the flags put around it.

        UserError where it is not from domain A, which alone comes with more than an image.
        """
        make, options = self.choices["netG"]
        network = in_symmetric_range(self._initialised(make(options, input_nc, output_nc), options))
        around, inputs = self._around, self._inputs
        if inputs is None and not around.residual and around.work_scale == 1:
            return network
        if inputs is not None and input_nc != self.channels.A:
            raise UserError(_ONLY_FROM_A)
        return Around(
            network,
            (input_nc, output_nc),
            image_nc=inputs.image_nc if inputs else None,
            residual=around.residual,
            work_scale=around.work_scale,
            inputs=inputs,
        )

    def only_images(self) -> None:
        """UserError where images of A come with more, for methods that make such images or take others for them."""
        if self._inputs is not None:
            raise UserError(_ONLY_FROM_A)

    def discriminator(self, input_nc: int) -> nn.Module:
        """Return a new ``--netD`` network."""
        make, options = self.choices["netD"]
        return self._initialised(make(options, input_nc), options)

    def like_generator(self, network: nn.Module) -> nn.Module:
        """Return a method's own small network, its weights filled as those of ``--netG`` are."""
        return self._initialised(network, self.choices["netG"][1])

    def as_published(self, network: nn.Module) -> nn.Module:
        """Return a method's own network, its weights filled as it says itself, whatever ``--init_type`` is."""
        self.only_images()
        return init_weights(network, "published", generator=self._random)

    def trained_generator(self, run: str) -> nn.Module:
        """Return the generator of a run with its weights, which maps [-1,1] to [-1,1] as test.py would have it."""
        if self._open_run is None:
            raise ValueError("this Builder was made without open_run")
        return self._open_run(run)

    def adversarial_loss(self) -> Any:
        """Return the ``--gan_mode`` loss."""
        make, options = self.choices["gan_mode"]
        return make(options)

    def _initialised(self, network: nn.Module, options: Any) -> nn.Module:
        init_weights(network, options.init_type, options.init_gain, generator=self._random)
        return network
