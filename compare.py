"""Compare several tests of the same images, rank all runs, or tell what smaller models cost and lose."""

from __future__ import annotations

import argparse
import pathlib

from data.tools.parser import Parser
from util.errors import UserError, run_script


def main() -> None:
    """Parse the command line, print the table and write the page."""
    parser = Parser(prog="compare.py", description=__doc__)
    parser.add_argument("results", nargs="*", help="results folders of test.py, such as results/NAME/test_latest")
    parser.add_argument("--leaderboard", action="store_true", help="rank all runs in place of comparing some")
    parser.add_argument("--metric", default="psnr", help="what the leaderboard is sorted by (%(default)s)")
    parser.add_argument("--checkpoints_dir", default="./checkpoints", help="folder of all runs (%(default)s)")
    parser.add_argument("--results_dir", default="./results", help="folder of all results (%(default)s)")
    parser.add_argument("--out", help="folder of the page (results/comparison, results/leaderboard)")
    parser.add_argument("--display_winsize", type=int, default=256, help="width of the pictures (%(default)s)")
    args = parser.parse_args()
    (rank if args.leaderboard else compare)(args)


def compare(args: argparse.Namespace) -> None:
    """Print means and differences of the results folders given, and write a page of their images."""
    if len(args.results) < 2:
        first = f"{args.results[0]}: " if args.results else ""
        raise UserError(f"{first}give two or more results folders to compare, or --leaderboard")
    from evaluation.comparison import over_shared, read_tests
    from evaluation.comparison_page import format_comparison, write_comparison

    tests = over_shared(read_tests([pathlib.Path(folder) for folder in args.results]))
    out = pathlib.Path(args.out or "results/comparison")
    write_comparison(tests, out, args.display_winsize)
    print(format_comparison(tests))
    print(f"page: {out / 'index.html'}")


def rank(args: argparse.Namespace) -> None:
    """Print all runs that have the metric, the best first, and write the table as a page and as CSV."""
    if args.results:
        raise UserError(f"{args.results[0]}: --leaderboard takes no folders; it finds all below --results_dir")
    from commands.leaderboard import find_entries
    from evaluation.leaderboard import Leaderboard, format_leaderboard, write_leaderboard

    entries = find_entries(pathlib.Path(args.checkpoints_dir), pathlib.Path(args.results_dir))
    known = sorted({metric for entry in entries for metric in entry.mean})
    if args.metric not in known:
        raise UserError(f"--metric {args.metric}: no run has it (there are {', '.join(known) or 'none'})")
    board, out = Leaderboard.of(entries, args.metric), pathlib.Path(args.out or f"{args.results_dir}/leaderboard")
    write_leaderboard(board, out)
    print(format_leaderboard(board))
    print(f"page: {out / 'index.html'}, table: {out / 'leaderboard.csv'}")


if __name__ == "__main__":
    run_script(main)
