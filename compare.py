"""Compare several tests of the same images, rank all runs, or tell what smaller models cost and lose."""

from __future__ import annotations

import argparse

from data.tools.parser import Parser
from util.errors import UserError, run_script


def main() -> None:
    """Parse the command line, print the table and write the page."""
    parser = Parser(prog="compare.py", description=__doc__)
    parser.add_argument("results", nargs="*", help="results folders of test.py, such as results/NAME/test_latest")
    parser.add_argument("--leaderboard", action="store_true", help="rank all runs in place of comparing some")
    parser.add_argument("--cost", help="runs, by commas: tell size, time and quality of each, and of its int8 file")
    parser.add_argument("--dataroot", help="data set whose test split tells the quality, for --cost")
    parser.add_argument("--num_images", type=int, default=32, help="most images of it (%(default)s)")
    parser.add_argument("--metric", default="psnr", help="what the leaderboard is sorted by (%(default)s)")
    parser.add_argument("--checkpoints_dir", default="./checkpoints", help="folder of all runs (%(default)s)")
    parser.add_argument("--results_dir", default="./results", help="folder of all results (%(default)s)")
    parser.add_argument("--out", help="folder of the page (results/comparison, results/leaderboard)")
    parser.add_argument("--display_winsize", type=int, default=256, help="width of the pictures (%(default)s)")
    args = parser.parse_args()
    (rank if args.leaderboard else tell_cost if args.cost else compare)(args)


def compare(args: argparse.Namespace) -> None:
    """Print means and differences of the results folders given, and write a page of their images."""
    from commands.comparing import show_comparison

    show_comparison(args.results, args.out, args.display_winsize)


def rank(args: argparse.Namespace) -> None:
    """Print all runs that have the metric, the best first, and write the table as a page and as CSV."""
    if args.results:
        raise UserError(f"{args.results[0]}: --leaderboard takes no folders; it finds all below --results_dir")
    from commands.leaderboard import show_leaderboard

    show_leaderboard(args.checkpoints_dir, args.results_dir, args.metric, args.out)


def tell_cost(args: argparse.Namespace) -> None:
    """Print what several runs cost and how good they are."""
    from commands.costs import format_costs, measure_costs

    print(format_costs(measure_costs(args.cost.split(","), args.checkpoints_dir, args.dataroot, args.num_images)))


if __name__ == "__main__":
    run_script(main)
