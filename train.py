"""Train an image translation model: ``python train.py --model pix2pix --dataroot DIR --name NAME``."""

from __future__ import annotations

import sys
import time

from commands.folding import each_fold
from options.train_options import TrainOptions
from util.errors import run_script


def main() -> int:
    """Parse the flags, build everything, train; with --fold all one run after the other until one is stopped."""
    return next((code for words in each_fold(sys.argv[1:]) if (code := train(words))), 0)


def train(words: list[str]) -> int:
    """Do one run; return its exit code."""
    began = time.monotonic()
    options = TrainOptions().parse(words)  # before torch is imported, so that mistakes are answered at once
    from commands.training import TrainingSession

    session = TrainingSession(options, began)
    return 0 if options.values["dry_run"] else session.run()


if __name__ == "__main__":
    run_script(main)
