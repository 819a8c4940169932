"""``--prune_from``: the most important channels of a wider run's generators as the weights to begin with."""

from __future__ import annotations

from commands.build import count_parameters
from commands.opened_run import load_model
from commands.teacher import teacher_folder
from models.base import TranslationModel
from options.test_options import TestOptions
from training.pruning import most_important
from util.errors import UserError


def prune_from(run: str, checkpoints_dir: str, model: TranslationModel) -> str:
    """Fill the generators of a model from those of a run; return a line about each.

    Raises:
        UserError: there is no such run, or it is not the same but for wider networks.
    """
    folder = teacher_folder(run, checkpoints_dir)
    words = ["--name", folder.name, "--checkpoints_dir", str(folder.parent), "--dataroot", ".", "--gpu_ids", "-1"]
    wide, lines = load_model(TestOptions().parse(words), folder).networks(), []
    for name, network in model.networks().items():
        if name not in wide or name.startswith("D"):
            continue
        network.load_state_dict(most_important(wide[name], network))
        before, after = count_parameters(wide[name]), count_parameters(network)
        lines.append(f"--prune_from: {name}: {after:,} of {before:,} parameters kept ({folder})")
    if not lines:
        raise UserError(f"--prune_from {run}: none of its networks is one of this method's; name a run of --model too")
    return "\n".join(lines)
