"""Several results folders -> a table of means, and a page of their images side by side."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from commands.result_log import written
from evaluation.comparison import over_shared, read_tests
from evaluation.comparison_page import format_comparison, write_comparison
from util.errors import UserError


def show_comparison(results: Sequence[str], out: str | None, display_winsize: int) -> None:
    """Print means and differences of results folders, and write a page of their images.

    Raises:
        UserError: there are fewer than two, one holds no results, or the page cannot be written.
    """
    if len(results) < 2:
        raise UserError(f"{''.join(results) or 'compare.py'}: give two or more results folders, or --leaderboard")
    tests, folder = over_shared(read_tests(list(map(pathlib.Path, results)))), pathlib.Path(out or "results/comparison")
    with written(folder, "name another --out"):
        write_comparison(tests, folder, display_winsize)
    print(format_comparison(tests))
    print(f"page: {folder / 'index.html'}")
