"""Compare several tests of the same images: a table of means and differences, and a page with pictures side by side."""

from __future__ import annotations

import pathlib

from data.tools.parser import Parser
from util.errors import UserError, run_script


def main() -> None:
    """Parse the command line, print the table and write the page."""
    parser = Parser(prog="compare.py", description=__doc__)
    parser.add_argument("results", nargs="+", help="results folders of test.py, such as results/NAME/test_latest")
    parser.add_argument("--out", default="results/comparison", help="folder of the page (%(default)s)")
    parser.add_argument("--display_winsize", type=int, default=256, help="width of the pictures (%(default)s)")
    args = parser.parse_args()
    if len(args.results) < 2:
        raise UserError(f"{args.results[0]}: give two or more results folders to compare")
    from evaluation.comparison import over_shared, read_tests
    from evaluation.comparison_page import format_comparison, write_comparison

    tests, out = over_shared(read_tests([pathlib.Path(folder) for folder in args.results])), pathlib.Path(args.out)
    write_comparison(tests, out, args.display_winsize)
    print(format_comparison(tests))
    print(f"page: {out / 'index.html'}")


if __name__ == "__main__":
    run_script(main)
