"""Inject faults into real trainings; write what came of it to docs/reliability.md: ``python -m benchmarks.faults``.

Needs Linux: processes are forked, signalled and looked up in /proc.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, so that no threads stand in the way of forks

import argparse
import concurrent.futures
import datetime
import multiprocessing
import pathlib
import platform
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

from benchmarks.faults.arena import write_data
from benchmarks.faults.bench import RANK_SETUPS, SETUPS, Bench, Count, Reference, undisturbed
from benchmarks.faults.injections import FAULTS
from benchmarks.faults.process import preload
from util.errors import run_script
from util.files import write_text

PAGE = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "reliability.md"
_AT_A_TIME = 10
BEGIN, END = "<!-- made by python -m benchmarks.faults -->\n", "<!-- end -->"


def main(argv: Sequence[str] | None = None) -> int:
    """Try all faults; return 0 when every try survived, else 1."""
    args = _parse(argv)
    preload()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults_", dir=args.folder) as folder:
        counts = _measure(pathlib.Path(folder), args)
    table = "\n".join(
        ["| Fault | Tries | Survived | Steps of work lost |", "|---|---|---|---|", *(c.row() for c in counts)]
    )
    words = shlex.join(sys.argv[1:] if argv is None else argv)
    text = f"{_machine(words, time.monotonic() - began)}\n\n{table}\n"
    print(text)
    if not args.no_docs:
        write_between(PAGE, text)
    return 1 if any(count.failures for count in counts) else 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="kills at random instants (%(default)s)")
    parser.add_argument("--tries", type=int, default=8, help="tries of each other fault (%(default)s)")
    parser.add_argument("--faults", default=",".join(FAULTS), help="which, by commas (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the random instants (%(default)s)")
    parser.add_argument(
        "--setups",
        type=int,
        default=len(SETUPS),
        choices=range(2, len(SETUPS) + 1),
        help="kinds of trainings (%(default)s)",
    )
    parser.add_argument("--jobs", type=int, default=2, help="trainings at the same time (%(default)s)")
    parser.add_argument("--folder", help="where the trainings are written (default: the system's temporary folder)")
    parser.add_argument("--no_docs", action="store_true", help="print the table only")
    args = parser.parse_args(argv)
    if unknown := sorted(set(args.faults.split(",")) - FAULTS.keys()):
        parser.error(f"--faults {', '.join(unknown)}: choose from {', '.join(FAULTS)}")
    return args


def _measure(root: pathlib.Path, args: argparse.Namespace) -> list[Count]:
    """Share the tries among processes; each forks the trainings that it disturbs."""
    write_data(root)
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(args.jobs, context) as pool:
        setups = SETUPS[: args.setups] + (RANK_SETUPS if "dead_rank" in args.faults else ())
        references = list(pool.map(undisturbed, [root] * len(setups), setups, range(len(setups))))
        tasks = [
            pool.submit(_count, root, references, args.seed, 1000 * number, *task)
            for number, task in enumerate(_tasks(args))
        ]
        counts: dict[str, Count] = {}
        for task in tasks:
            count = task.result()
            counts[count.title] = counts[count.title] + count if count.title in counts else count
            print(counts[count.title].row(), *count.failures, sep="\n  ", file=sys.stderr, flush=True)
    return list(counts.values())


def _tasks(args: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """Yield faults and how often to inject them at a time."""
    for name in args.faults.split(","):
        tries = args.kills if name == "kill" else args.tries
        yield from ((name, min(_AT_A_TIME, tries - done)) for done in range(0, tries, _AT_A_TIME))


def _count(root: pathlib.Path, references: Sequence[Reference], seed: int, first: int, name: str, tries: int) -> Count:
    return Bench(root, references, seed, first).count(name, tries)


def _machine(words: str, seconds: float) -> str:
    import torch

    when = datetime.date.today().isoformat()
    where = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"
    return (
        f"`{f'python -m benchmarks.faults {words}'.strip()}`, {when}, {where}, torch {torch.__version__}, "
        f"{seconds / 60:.0f} minutes:"
    )


def write_between(page: pathlib.Path, text: str) -> None:
    """Replace what stands between the two marks of a page."""
    head, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    write_text(page, f"{head}{BEGIN}\n{text}\n{END}{tail}")


if __name__ == "__main__":
    run_script(main)
