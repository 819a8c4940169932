"""Make demo data; split, combine and audit a data set; cut videos; measure trivial predictions; zip a submission."""

from __future__ import annotations

import importlib

from data.tools.parser import Parser
from util.errors import run_script

COMMANDS = {
    "demo": "make a small simulated data set",
    "split": "copy a folder of images, or two parallel ones, into train/ val/ test/",
    "combine": "join two folders into images with A and B side by side",
    "audit": "look for broken, constant, duplicate and mismatched images",
    "cache": "decode and resize images before the training reads them",
    "frames": "take pictures out of a video, one a second",
    "baselines": "RMSE of the mean map and of a regression on intensity alone",
    "snap": "give the background of depth maps the level that was found for each image",
    "submission": "zip results in the wanted size, depth, format and names, and check them",
}


def main() -> int | None:
    """Parse the command line and run the subcommand."""
    parser = Parser(prog="prepare.py", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    tools = {name: importlib.import_module(f"data.tools.{name}") for name in COMMANDS}
    for name, summary in COMMANDS.items():
        tools[name].add_arguments(subparsers.add_parser(name, help=summary, description=tools[name].__doc__))
    args = parser.parse_args()
    return tools[args.command].run(args)


if __name__ == "__main__":
    run_script(main)
