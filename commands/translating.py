"""``test.py --input FILE --output FILE``: images, folders and videos, without a data set or a page."""

from __future__ import annotations

import contextlib
import pathlib
import sys
from collections.abc import Iterator, Sequence

from tqdm import tqdm

from commands.joined_runs import open_named
from inference.folders import Outcome, Work, list_work, translate_files
from inference.predictor import UNCERTAINTY
from inference.time_budget import fit, record_share, recorded_share, use
from inference.video import VIDEO_SUFFIXES
from options.resolve import Options
from training.ranks import join_ranks, silence
from training.time_budget import parse_duration
from util.device import choose_device
from util.errors import UserError

_JUDGED = 4  # files by which the arithmetic is settled


class TranslatingSession:
    """Open the run at once, and translate on :meth:`run`. Several processes share the files."""

    def __init__(self, options: Options) -> None:
        values = options.values
        if values["output"] is None:
            raise UserError(f"--input {values['input']}: say with --output where the result goes")
        self.source, self.target = (pathlib.Path(values[name]).expanduser() for name in ("input", "output"))
        self.work = list_work(self.source, self.target)[: values["num_test"]]
        if values["mc_dropout"]:
            _check_uncertainties(self.work)
        self.skip_existing, self.stop = values["skip_existing"], values["on_bad_file"] == "stop"
        self.time_budget = parse_duration(values["time_budget"]) if values["time_budget"] else None
        self.translator = open_named(options).translator()
        self.ranks = join_ranks(choose_device(values["gpu_ids"]))

    def run(self) -> int:
        """Translate every file; return 0, 1 when some failed, or 130 after Ctrl-C. What is done is kept."""
        try:
            with contextlib.nullcontext() if self.ranks.first else silence():
                return self._run()
        finally:
            self.ranks.close()

    def _run(self) -> int:
        self._settle()
        outcome, interrupted = Outcome(), False
        try:
            for latest in self._outcomes():
                outcome = latest
        except KeyboardInterrupt:
            interrupted = True
        if interrupted and self.ranks.count == 1:
            print(f"interrupted; {outcome.done} of {len(self.work)} files are done", file=sys.stderr)
        if interrupted:
            return 130
        return self._report(Outcome.together(self.ranks.gather_rows({self.ranks.rank: outcome}).values()))

    def _outcomes(self) -> Iterator[Outcome]:
        """Yield the outcome so far after each of this process's files."""
        own = self.work[self.ranks.rank :: self.ranks.count]
        with tqdm(total=len(own), unit="image", dynamic_ncols=True, disable=None) as bar:
            for outcome in translate_files(self.translator, own, skip_existing=self.skip_existing, stop=self.stop):
                yield outcome
                bar.update()

    def _settle(self) -> None:
        """Settle by the first files what computes all of them, and with ``--time_budget`` how much of it.

        They are the same after an interruption and on all processes, which follow the first one.
        """
        first = [item.source for item in self.work[:_JUDGED] if item.source.suffix.lower() not in VIDEO_SUFFIXES]
        self.translator.settle(first, len(self.work))
        if (engines := self.translator.predictor.engines) is not None:
            engines.agree(self.ranks.from_first)
        if self.time_budget is not None:
            self._fit(first, self.time_budget)

    def _fit(self, first: Sequence[pathlib.Path], budget: float) -> None:
        predictor, folder = self.translator.predictor, self.target if self.source.is_dir() else None
        own = -(-len(self.work) // self.ranks.count)
        known = recorded_share(folder) if folder and self.skip_existing else None
        share = self.ranks.from_first(known or fit(predictor, self.translator.batches(first), own, budget))
        use(predictor, share)
        if folder and self.ranks.first:
            record_share(folder, share)

    def _report(self, outcome: Outcome) -> int:
        for line in outcome.failures:
            print(f"failed: {line}", file=sys.stderr)
        skipped = f", {outcome.skipped} were there already" if outcome.skipped else ""
        failed = f", {len(outcome.failures)} failed" if outcome.failures else ""
        print(f"{outcome.done} of {len(self.work)} files translated{skipped}{failed}: {self.target}")
        return 1 if outcome.failures else 0


def _check_uncertainties(work: Work) -> None:
    """UserError where the uncertainty of one file of a folder would go where the result of another does."""
    taken = {target for _, target, _ in work}
    for source, target, _ in work:
        other = target.with_name(f"{target.name}_{UNCERTAINTY}")
        if other in taken:
            raise UserError(f"--mc_dropout: {other} is both a result and the uncertainty of {source}; rename one")
    if any(source.suffix.lower() in VIDEO_SUFFIXES for source, *_ in work):
        print(f"--mc_dropout: a video is the mean alone, without {UNCERTAINTY}", file=sys.stderr)
