"""Sharp patches -> the damaged small ones that a network shall undo, beyond plain shrinking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.bicubic import Box, Size, resize
from data.blur_kernels import BlurRange, draw_kernel, draw_sinc, gaussian_kernel
from data.colour import rounded
from data.damage import blurred, resized, sharpened, through_jpeg, with_gaussian_noise, with_poisson_noise

_MARGIN = 32  # pixels of the large image around a patch, so that its borders are damaged as its middle is


class Degradation:
    """Damage whose randomness is the sample's own.

    Args:
        scale: how many times smaller the result is.
    """

    sharpens = False

    def __init__(self, scale: int) -> None:
        self.scale = scale
        self._margin = -(-_MARGIN // scale) * scale

    def around(self, size: Size, box: Box) -> Box:
        """Return the box (top, left, height, width) to be read of an image of ``size`` for the patch ``box``."""
        begin = [max(0, box[axis] - self._margin) for axis in (0, 1)]
        end = [min(size[axis], box[axis] + box[axis + 2] + self._margin) for axis in (0, 1)]
        return begin[0], begin[1], end[0] - begin[0], end[1] - begin[1]

    def __call__(
        self, large: np.ndarray, box: Box, random: np.random.Generator, limits: tuple[float, float], *, sharpen: bool
    ) -> list[np.ndarray]:
        """Return input (h,w,C) and target (scale*h,scale*w,C) in the dtype of ``large``; behind a sharp one, the plain.

        Args:
            large: the pixels of :meth:`around`, in file values.
            box: of the patch within them.
            limits: file values of black and white.
            sharpen: whether this degradation's sharpened targets are wanted, as in training.
        """
        unit = ((large - np.float64(limits[0])) / (limits[1] - limits[0])).astype(np.float32)
        height, width = large.shape[0] // self.scale, large.shape[1] // self.scale
        small = np.clip(self.damaged(unit, (height, width), random), 0, 1)
        targets = [large]
        if sharpen and self.sharpens:
            targets.insert(0, _in_files(self.target(unit), limits, large.dtype))
        top, left, tall, wide = (side // self.scale for side in box)
        part = small[top : top + tall, left : left + wide]
        cuts = [target[box[0] : box[0] + box[2], box[1] : box[1] + box[3]] for target in targets]
        return [_in_files(part, limits, large.dtype), *cuts]

    def damaged(self, unit: np.ndarray, size: Size, random: np.random.Generator) -> np.ndarray:
        """Return a damaged version of ``size`` of (H,W,C) in [0,1]."""
        raise NotImplementedError

    def target(self, unit: np.ndarray) -> np.ndarray:
        """Return what the network shall make, (H,W,C) in [0,1]."""
        return unit


def _in_files(unit: np.ndarray, limits: tuple[float, float], dtype: np.dtype) -> np.ndarray:
    return rounded(unit.astype(np.float64) * (limits[1] - limits[0]) + limits[0], dtype)


class BlurNoise(Degradation):
    """A Gaussian blur of random width and direction, bicubic shrinking, and Gaussian noise up to 10 of 255."""

    def damaged(self, unit: np.ndarray, size: Size, random: np.random.Generator) -> np.ndarray:
        widths = random.uniform(0.2, 0.6 + 0.6 * self.scale, 2)
        kernel = gaussian_kernel(21, widths[0], widths[1], random.uniform(0, np.pi))
        small = resize(blurred(unit, kernel), size)
        return with_gaussian_noise(small, random.uniform(0, 10), False, random)


@dataclass(frozen=True)
class Round:
    """The limits of one of Real-ESRGAN's two rounds."""

    blur: BlurRange
    blurs: float  # probability
    resizes: tuple[float, float, float]  # probabilities of larger, smaller, equal
    factors: tuple[float, float]
    gaussian: tuple[float, float]
    poisson: tuple[float, float]


_FIRST = Round(BlurRange((0.2, 3.0)), 1.0, (0.2, 0.7, 0.1), (0.15, 1.5), (1, 30), (0.05, 3.0))
_SECOND = Round(BlurRange((0.2, 1.5)), 0.8, (0.3, 0.4, 0.3), (0.3, 1.2), (1, 25), (0.05, 2.5))
_JPEG, _GAUSSIAN, _GREY, _FINAL_SINC, _FINAL_CUTOFF = (30, 95), 0.5, 0.4, 0.8, np.pi / 3


class RealESRGAN(Degradation):
    """Blur, resizing, noise and JPEG, twice, and ringing (Wang et al. 2021, arXiv:2107.10833); sharpened targets."""

    sharpens = True

    def target(self, unit: np.ndarray) -> np.ndarray:
        return sharpened(unit)

    def damaged(self, unit: np.ndarray, size: Size, random: np.random.Generator) -> np.ndarray:
        image = through_jpeg(self._round(unit, unit.shape[:2], _FIRST, random), random.uniform(*_JPEG))
        image = self._round(image, size, _SECOND, random)
        kernel = draw_sinc(random, _FINAL_CUTOFF) if random.random() < _FINAL_SINC else None
        if random.random() < 0.5:
            return through_jpeg(self._finished(image, size, kernel, random), random.uniform(*_JPEG))
        return self._finished(through_jpeg(image, random.uniform(*_JPEG)), size, kernel, random)

    def _round(self, image: np.ndarray, size: Size, limits: Round, random: np.random.Generator) -> np.ndarray:
        """Blur, resize to a random multiple of ``size``, add noise."""
        if random.random() < limits.blurs:
            image = blurred(image, draw_kernel(limits.blur, random))
        factor = _factor(limits, random)
        image = np.clip(resized(image, int(size[0] * factor), int(size[1] * factor), random), 0, 1)
        grey = random.random() < _GREY
        if random.random() < _GAUSSIAN:
            return with_gaussian_noise(image, random.uniform(*limits.gaussian), grey, random)
        return with_poisson_noise(image, random.uniform(*limits.poisson), grey, random)

    def _finished(
        self, image: np.ndarray, size: Size, kernel: np.ndarray | None, random: np.random.Generator
    ) -> np.ndarray:
        image = resized(image, *size, random)
        return image if kernel is None else blurred(image, kernel)


def _factor(limits: Round, random: np.random.Generator) -> float:
    direction = random.choice(3, p=limits.resizes)
    if direction == 0:
        return random.uniform(1.0, limits.factors[1])
    return random.uniform(limits.factors[0], 1.0) if direction == 1 else 1.0


_KINDS: dict[str, type[Degradation]] = {"blur_noise": BlurNoise, "real_esrgan": RealESRGAN}


def make_degradation(name: str, scale: int) -> Degradation | None:
    """Return what makes inputs; None for "bicubic", which needs no randomness."""
    return _KINDS[name](scale) if name in _KINDS else None
