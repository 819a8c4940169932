"""Images out of noise: a U-Net that is trained to take noise away, and the loop that makes an image with it.

Denoising diffusion (Ho et al. 2020, arXiv:2006.11239) under a condition that is concatenated to the noisy image, with
the noise level as the network's clock, as in Palette (Saharia et al. 2022, arXiv:2111.05826). Images are made in few
steps by DDIM (Song et al. 2021, arXiv:2010.02502). U-Net and schedule are those of the ``diffusers`` library.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import PlainOptions
from models.networks.holes import continue_smoothly, image_channels, split_holes
from models.networks.initialise import init_uniform
from util.errors import UserError
from util.noise import rand, randn, settled_randn
from util.option import option

_LEVELS = 1000.0  # the network's clock runs from 0, all noise, to this


@dataclass(frozen=True)
class DiffusionOptions(PlainOptions):
    ngf: int = option(64, "filters of the generator's outermost layers", scope="identity", minimum=1)
    diffusion_widths: tuple[int, ...] = option(
        (1, 2, 4, 8),
        "widths of the U-Net's levels, each of half the size of the one before, as multiples of --ngf",
        "identity",
        minimum=1,
    )
    diffusion_blocks: int = option(2, "residual blocks of each level", "identity", minimum=1)
    diffusion_patch: int = option(
        1,
        "side of the squares of pixels that the U-Net sees as one; 2 takes about a quarter of the time",
        "identity",
        minimum=1,
    )
    diffusion_of: str = option(
        "image",
        "what comes out of noise: the image; or the hole, which the last channel of the input marks",
        "identity",
        choices=("image", "hole"),
    )
    diffusion_steps: int = option(1000, "levels of noise in training", "identity", minimum=50)
    beta_schedule: str = option(
        "linear", "how the noise grows over them", "identity", choices=("linear", "scaled_linear", "cosine")
    )
    prediction: str = option(
        "epsilon",
        "what the network tells from a noisy image: the noise, epsilon, as published; the image, which short trainings "
        "learn first; or v, between both",
        "identity",
        choices=("epsilon", "image", "v"),
    )
    sampling_steps: int = option(50, "steps from noise to an image, at most --diffusion_steps", minimum=1)
    sampling_eta: float = option(
        0.0, "noise that is added on the way: 0 none (DDIM), 1 as much as in training (DDPM)", minimum=0, maximum=1
    )
    sampling_seed: int = option(
        0, "which of the possible images is made; the same seed makes the same one", "session", minimum=0
    )


class Attempt(NamedTuple):
    """What the network tells of an image at a random level of noise, each (N,C,H,W).

    ``guess`` should equal ``wanted``; ``estimate`` is the clean image that follows from it.
    """

    guess: Tensor
    wanted: Tensor
    estimate: Tensor


class DiffusionGenerator(nn.Module):
    """Input (N,input_nc,H,W) -> one of the images (N,output_nc,H,W) in [-1,1] that fit it.

    Which one is up to --sampling_seed, whatever else is in the batch. With ``diffusion_of="hole"`` the input is an
    image and, as its last channel, a mask, and known pixels are given back. H and W divide by ``size_multiple``. The
    network sees the image as a whole, again and again, so that it cannot be cut into tiles.
    """

    scale = 1
    trained_by = "palette"  # others would learn through all steps of its sampling
    not_exportable = "it makes an image out of random numbers, in many steps"

    def __init__(self, options: DiffusionOptions, input_nc: int, output_nc: int) -> None:
        super().__init__()
        if options.diffusion_of == "hole":
            image_channels(input_nc, output_nc, "diffusion")
        if options.sampling_steps > options.diffusion_steps:
            most = options.diffusion_steps
            raise UserError(f"--sampling_steps {options.sampling_steps}: at most {most}, as --diffusion_steps says")
        self.options, self.output_nc, self.sampling_steps = options, output_nc, options.sampling_steps
        widths = [options.ngf * width for width in options.diffusion_widths]
        self.size_multiple = options.diffusion_patch * 2 ** (len(widths) - 1)
        area = options.diffusion_patch**2
        self.unet = _unet(widths, options.diffusion_blocks, (input_nc + output_nc) * area, output_nc * area)
        self._clean = _shares(options)

    def forward(self, given: Tensor) -> Tensor:
        condition, keep = self._condition(given)
        shape = (len(condition), self.output_nc, *condition.shape[-2:])
        x = self._settled(condition.new_empty(shape), "start")
        for time, level, following in self._steps():
            guess = self._denoised(condition, keep(x), condition.new_full((len(condition),), level))
            x = self._less_noisy(x, guess, time, level, following)
        return keep(x).clamp(-1, 1).to(given.dtype)

    def _steps(self) -> list[tuple[int, float, float]]:
        """Return each step's place in the schedule, and the image's share of variance before and after it."""
        steps, finest = self.sampling_steps, self.options.diffusion_steps
        times = [round(finest * step / steps) - 1 for step in range(steps, 0, -1)]  # the last one leaves no noise
        levels = [*self._clean[times].tolist(), 1.0]
        return list(zip(times, levels, levels[1:], strict=False))

    def _less_noisy(self, x: Tensor, guess: Tensor, time: int, level: float, following: float) -> Tensor:
        """Return a noisy image as it is at the following level, by what the network tells of it (DDIM)."""
        signal, spread = math.sqrt(level), math.sqrt(1 - level)
        clean = self._estimate(guess, x, signal, spread).clamp(-1, 1)
        noise = (x - signal * clean) / spread
        fresh = self.options.sampling_eta * math.sqrt((1 - following) / (1 - level) * (1 - level / following))
        kept = math.sqrt(max(0.0, 1 - following - fresh**2))
        x = math.sqrt(following) * clean + kept * noise
        return x + fresh * self._settled(x, time) if fresh else x

    def attempt(self, given: Tensor, clean: Tensor) -> Attempt:
        """Return what the network tells of ``clean`` (N,output_nc,H,W) under random noise, for an input as above.

        The levels lie between those of the schedule, as the paper has them.
        """
        condition, keep = self._condition(given)
        level = self._random_level(clean)
        signal, spread = (part.sqrt().view(-1, 1, 1, 1) for part in (level, 1 - level))
        noise = randn(clean, "noise")
        noisy = signal * clean + spread * noise
        guess = self._denoised(condition, keep(noisy), level)
        wanted = {"epsilon": noise, "image": clean, "v": signal * noise - spread * clean}[self.options.prediction]
        return Attempt(guess, wanted, self._estimate(guess, noisy, signal, spread))

    def _estimate(self, guess: Tensor, noisy: Tensor, signal: Any, spread: Any) -> Tensor:
        """Return the clean image that follows from what the network tells of a noisy one.

        Args:
            signal: how much of the clean image there is in the noisy one, and ``spread`` how much noise.
        """
        if self.options.prediction == "epsilon":
            return (noisy - spread * guess) / signal
        return guess if self.options.prediction == "image" else signal * noisy - spread * guess

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Fill the weights as PyTorch does, the last ones with 0."""
        init_uniform(self.modules(), generator)
        nn.init.zeros_(self.unet.conv_out.weight)
        nn.init.zeros_(self.unet.conv_out.bias)

    def _condition(self, given: Tensor) -> tuple[Tensor, Any]:
        """Return what the network sees beside the noisy image, and what puts known pixels into one.

        In holes it sees what goes on smoothly from around them, where the paper has noise, which says nothing.
        """
        wide = given if given.dtype == torch.float64 else given.float()
        if self.options.diffusion_of == "image":
            return wide, lambda x: x
        image, mask = split_holes(wide)
        seen = torch.cat([continue_smoothly(image, mask), 2 * mask - 1], 1)
        return seen, lambda x: torch.where(mask > 0, x, image)

    def _random_level(self, like: Tensor) -> Tensor:
        """Return one random share of variance (N,) for each image, between two neighbours of the schedule."""
        draws = rand(like, (2,), "level")
        levels = torch.cat([torch.ones(1).double(), self._clean]).to(like)
        place = (draws[:, 0] * self.options.diffusion_steps).long().clamp_max(self.options.diffusion_steps - 1)
        return torch.lerp(levels[place], levels[place + 1], draws[:, 1].to(like.dtype))

    def _denoised(self, condition: Tensor, noisy: Tensor, level: Tensor) -> Tensor:
        """Return what the U-Net tells of a noisy image, in the dtype of that."""
        seen = F.pixel_unshuffle(torch.cat([condition, noisy], 1), self.options.diffusion_patch)
        told = self.unet(seen.to(self.unet.dtype), _LEVELS * level, return_dict=False)[0]
        return F.pixel_shuffle(told.to(noisy.dtype), self.options.diffusion_patch)

    def _settled(self, like: Tensor, stream: object) -> Tensor:
        return settled_randn(like, self.options.sampling_seed, stream)


def _unet(widths: list[int], blocks: int, inputs: int, outputs: int) -> Any:
    """Return the library's U-Net with attention where the image is smallest."""
    plain = len(widths) - 1
    unet = _library().UNet2DModel(
        in_channels=inputs,
        out_channels=outputs,
        block_out_channels=tuple(widths),
        layers_per_block=blocks,
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * plain,
        norm_num_groups=math.gcd(32, *widths),
        attention_head_dim=None,
    )
    for level in unet.modules():
        for block in getattr(level, "resnets", ()):
            block.recompute = True  # a unit of --checkpoint_activations
    return unet


def _shares(options: DiffusionOptions) -> Tensor:
    """Return the image's share of variance at each level, from little noise to much; linear schedules are DDPM's.

    They are stretched so that any number of levels ends in equal noise.
    """
    scheduler = _library().DDIMScheduler(
        num_train_timesteps=options.diffusion_steps,
        beta_start=0.1 / options.diffusion_steps,
        beta_end=20 / options.diffusion_steps,
        beta_schedule={"cosine": "squaredcos_cap_v2"}.get(options.beta_schedule, options.beta_schedule),
    )
    return scheduler.alphas_cumprod.double()


def _library() -> Any:
    try:
        import diffusers
    except ImportError:
        raise UserError("--netG diffusion needs a library: pip install -r requirements-diffusion.txt") from None
    return diffusers


@GENERATORS.register("diffusion", options=DiffusionOptions)
def diffusion(options: DiffusionOptions, input_nc: int, output_nc: int) -> DiffusionGenerator:
    """Images out of noise by a conditional diffusion U-Net; trained by --model palette."""
    return DiffusionGenerator(options, input_nc, output_nc)
