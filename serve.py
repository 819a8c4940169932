"""Translate images in the browser and over HTTP: ``python serve.py --name NAME[,NAME...]``."""

from __future__ import annotations

from options.serve_options import ServeOptions
from util.errors import run_script


def main() -> int:
    """Parse the flags, open the runs, serve until stopped."""
    options = ServeOptions().parse()  # before torch is imported, so that mistakes are answered at once
    from commands.serving import ServingSession

    return ServingSession(options).run()


if __name__ == "__main__":
    run_script(main)
