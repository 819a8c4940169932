"""Translate images with a trained model: ``python test.py --dataroot DIR --name NAME``."""

from __future__ import annotations

from options.test_options import TestOptions
from util.errors import run_script


def main() -> int:
    """Parse the flags, open the run, translate, measure."""
    options = TestOptions().parse()  # before torch is imported, so that mistakes are answered at once
    from commands.testing import TestingSession
    from commands.translating import TranslatingSession

    single = options.values["input"] is not None
    session = TranslatingSession(options) if single else TestingSession(options)
    return 0 if options.values["dry_run"] else session.run()


if __name__ == "__main__":
    run_script(main)
