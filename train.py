"""Train an image translation model: ``python train.py --model pix2pix --dataroot DIR --name NAME``."""

from __future__ import annotations

import time

from options.train_options import TrainOptions
from util.errors import run_script


def main() -> int:
    """Parse the flags, build everything, train."""
    began = time.monotonic()
    options = TrainOptions().parse()  # before torch is imported, so that mistakes are answered at once
    from commands.training import TrainingSession

    session = TrainingSession(options, began)
    return 0 if options.values["dry_run"] else session.run()


if __name__ == "__main__":
    run_script(main)
