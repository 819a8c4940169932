"""Mix the weights of a network trained by distance with those it became as a GAN (arXiv:1809.00219).

    python -m recipes.interpolate checkpoints/rrdb_x4/latest_net_G.pth checkpoints/esrgan_x4/latest_net_G.pth
        --alpha 0.8 --out checkpoints/mixed_x4/latest_net_G.pth

0 gives the first file's weights, 1 the second's. Written into a folder of its own as ``latest_net_G.pth``, the result
is a run that test.py opens by its name.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

from util.errors import UserError, one_line, pass_interrupts_on, run_script


def main(argv: list[str] | None = None) -> int:
    """Read two files, write one."""
    parser = argparse.ArgumentParser(prog="python -m recipes.interpolate", allow_abbrev=False)
    parser.add_argument("first", type=pathlib.Path, help="weights trained by distance")
    parser.add_argument("second", type=pathlib.Path, help="weights trained further as a GAN")
    parser.add_argument("--alpha", type=float, default=0.8, help="share of the second, 0 to 1")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the file to write, .pth")
    args = parser.parse_args(sys.argv[1:] if argv is None else argv)
    if not 0 <= args.alpha <= 1:
        raise UserError(f"--alpha {args.alpha:g} is no share; give 0 to 1")
    if args.out.suffix != ".pth":
        raise UserError(f"--out {args.out}: name a file that ends in .pth")
    _write(args.first, args.second, args.alpha, args.out)
    print(f"{args.out}: {1 - args.alpha:g} of {args.first} and {args.alpha:g} of {args.second}")
    return 0


def _write(first: pathlib.Path, second: pathlib.Path, alpha: float, out: pathlib.Path) -> None:
    import torch

    from models.interpolation import interpolated
    from models.networks.foreign import clean_state_dict, load_weights
    from util.files import atomic_file

    mixed = interpolated(clean_state_dict(load_weights(first)), clean_state_dict(load_weights(second)), alpha)
    try:
        with atomic_file(out) as file:
            torch.save(mixed, file)
    except (OSError, RuntimeError) as error:
        pass_interrupts_on(error)
        raise UserError(f"--out {out}: cannot be written ({one_line(error)}); name another file") from None


if __name__ == "__main__":
    run_script(main)
