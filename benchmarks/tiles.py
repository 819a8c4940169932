"""How far results in tiles are from the whole image: ``python -m benchmarks.tiles --name RUN --input photo.jpg``.

Every way is compared with the whole image, pixel by pixel: a smooth seam says nothing of the error inside the tiles.
"""

from __future__ import annotations

import argparse
import pathlib
import resource
import time

import numpy as np
import torch

from commands.joined_runs import open_run
from data.readers import read_image
from inference.predictor import Predictor
from inference.settings import InferenceOptions
from inference.translator import Translator

WAYS = {
    "exact, fp32 scratch": InferenceOptions(tile_scratch="fp32"),
    "exact, fp16 scratch": InferenceOptions(),
    "statistics of a thumbnail": InferenceOptions(tile_stats="thumbnail"),
}


def main() -> None:
    """Print the mean and the largest error of each way, in levels of 255, and its time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--checkpoints_dir", default="./checkpoints")
    parser.add_argument("--input", required=True)
    parser.add_argument("--tile_size", type=int, default=256)
    parser.add_argument("--direction")
    words = parser.parse_args()
    opened = open_run(pathlib.Path(words.checkpoints_dir) / words.name, "latest", words.direction, "-1")
    source, target = opened.domains_of("uint8")
    image = torch.from_numpy(source.range.normalize(read_image(words.input)[..., : opened.channels[0]]))
    batch = {"A": image.permute(2, 0, 1)[None].contiguous()}
    whole, seconds = _timed(opened, InferenceOptions(), batch)
    print(f"| way | mean error | largest | seconds |\n|---|---|---|---|\n| whole | - | - | {seconds:.1f} |")
    for name, options in WAYS.items():
        tiled = InferenceOptions(words.tile_size, None, options.tile_stats, options.tile_scratch)
        result, seconds = _timed(opened, tiled, batch)
        error = np.abs(result - whole) * 127.5
        print(f"| {name} | {error.mean():.4f} | {error.max():.4f} | {seconds:.1f} |")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def _timed(opened: Translator, options: InferenceOptions, batch: dict[str, torch.Tensor]) -> tuple[np.ndarray, float]:
    predictor = Predictor(opened.predictor.models, opened.predictor.device, options=options)
    began = time.process_time()
    result = predictor(batch)[predictor.model.result]
    return result.numpy(), time.process_time() - began


if __name__ == "__main__":
    main()
