"""Make demo data; split, combine and audit a data set; cut videos; measure trivial predictions; zip a submission."""

from __future__ import annotations

from data.tools import audit, baselines, cache, combine, demo, frames, snap, split, submission
from data.tools.parser import Parser
from util.errors import run_script

#: each tool with add_arguments() and run(); those that need torch import it when they run
TOOLS = {
    "demo": (demo, "make a small simulated data set"),
    "split": (split, "copy a folder of images, or two parallel ones, into train/ val/ test/"),
    "combine": (combine, "join two folders into images with A and B side by side"),
    "audit": (audit, "look for broken, constant, duplicate and mismatched images"),
    "cache": (cache, "decode and resize images before the training reads them"),
    "frames": (frames, "take pictures out of a video, one a second"),
    "baselines": (baselines, "RMSE of the mean map and of a regression on intensity alone"),
    "snap": (snap, "give the background of depth maps the level that was found for each image"),
    "submission": (submission, "zip results in the wanted size, depth, format and names, and check them"),
}


def main() -> int | None:
    """Parse the command line and run the subcommand."""
    parser = Parser(prog="prepare.py", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (tool, summary) in TOOLS.items():
        tool.add_arguments(subparsers.add_parser(name, help=summary, description=tool.__doc__))
    args = parser.parse_args()
    return TOOLS[args.command][0].run(args)


if __name__ == "__main__":
    run_script(main)
