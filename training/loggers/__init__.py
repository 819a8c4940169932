"""Everything that shows or stores how a training goes; no logger can stop or slow it. Free of torch."""

from __future__ import annotations

from training.loggers.base import Logger, Position, RunInfo, SilentLogger, Times
from training.loggers.group import LoggerGroup
from training.loggers.options import DisplayOptions

__all__ = [
    "DisplayOptions",
    "Logger",
    "LoggerGroup",
    "Position",
    "RunInfo",
    "SilentLogger",
    "Times",
    "make_loggers",
]


def make_loggers(options: DisplayOptions) -> LoggerGroup:
    """Return the loggers that ``options`` ask for, not yet started; UserError where one cannot be had."""
    from training.loggers.console import Console
    from training.loggers.html import HtmlPage
    from training.loggers.jsonl import JsonLines
    from training.loggers.loss_log import LossLog
    from training.loggers.tensorboard import TensorBoardLogger
    from training.loggers.visdom import VisdomWindows
    from training.loggers.wandb import WandbLogger

    loggers: list[Logger] = [LossLog(), JsonLines(), Console()]
    if not options.no_html:
        loggers.append(HtmlPage(options.display_winsize))
    if options.display_id > 0:
        loggers.append(VisdomWindows(options))
    if options.use_tensorboard:
        loggers.append(TensorBoardLogger())
    if options.use_wandb:
        loggers.append(WandbLogger(options.wandb_project_name))
    return LoggerGroup(loggers)
