"""``test.py --input FILE --output FILE``: images, folders and videos, without a data set or a page."""

from __future__ import annotations

import pathlib
import sys

from tqdm import tqdm

from commands.joined_runs import open_named
from inference.folders import Outcome, list_work, translate_files
from inference.time_budget import fit, use
from inference.video import VIDEO_SUFFIXES
from options.resolve import Options
from training.time_budget import parse_duration
from util.errors import UserError

_JUDGED = 4  # files by which the arithmetic is settled


class TranslatingSession:
    """Open the run at once, and translate on :meth:`run`."""

    def __init__(self, options: Options) -> None:
        values = options.values
        if values["output"] is None:
            raise UserError(f"--input {values['input']}: say with --output where the result goes")
        self.source, self.target = (pathlib.Path(values[name]).expanduser() for name in ("input", "output"))
        self.work = list_work(self.source, self.target)
        self.skip_existing = values["skip_existing"]
        self.time_budget = parse_duration(values["time_budget"]) if values["time_budget"] else None
        self.translator = open_named(options).translator()
        if values["mc_dropout"]:
            print("--mc_dropout: --input writes the mean alone; --dataroot writes the uncertainty too", file=sys.stderr)

    def run(self) -> int:
        """Translate every file; return 0, 1 when some failed, or 130 after Ctrl-C. What is done is kept."""
        first = [source for source, _ in self.work[:_JUDGED] if source.suffix.lower() not in VIDEO_SUFFIXES]
        self.translator.settle(first, len(self.work))
        if self.time_budget:
            predictor = self.translator.predictor
            use(predictor, fit(predictor, self.translator.batches(first), len(self.work), self.time_budget))
        outcome, bar = Outcome(), tqdm(total=len(self.work), unit="image", dynamic_ncols=True, disable=None)
        try:
            with bar:
                for latest in translate_files(self.translator, self.work, skip_existing=self.skip_existing):
                    outcome = latest
                    bar.update()
        except KeyboardInterrupt:
            print(f"interrupted; {outcome.done} of {len(self.work)} files are done", file=sys.stderr)
            return 130
        return self._report(outcome)

    def _report(self, outcome: Outcome) -> int:
        for line in outcome.failures:
            print(f"failed: {line}", file=sys.stderr)
        skipped = f", {outcome.skipped} were there already" if outcome.skipped else ""
        failed = f", {len(outcome.failures)} failed" if outcome.failures else ""
        print(f"{outcome.done} of {len(self.work)} files translated{skipped}{failed}: {self.target}")
        return 1 if outcome.failures else 0
