"""The time told before step 1, and what to do when it is too long."""

from __future__ import annotations

from training.loggers.estimate import LIMIT_SECONDS, Estimate, smaller_command

FLAGS = {"crop_size": 256, "load_size": 286, "netG": "resnet_9blocks", "n_epochs": 100, "n_epochs_decay": 100}


def test_the_first_step_is_warm_up():
    estimate = Estimate.measure([30.0, 0.5, 0.6, 0.5], 1000)
    assert estimate.seconds == 500.0
    assert estimate.line() == "estimated total: 8 min 20 s (1,000 steps of 0.5 s)"
    assert Estimate.measure([2.0], 10).seconds == 20.0


def test_a_short_training_needs_no_advice():
    assert smaller_command(Estimate(LIMIT_SECONDS, 1.0, 1), FLAGS, "python train.py") is None


def test_a_lighter_network_is_enough():
    advice = smaller_command(Estimate(LIMIT_SECONDS * 1.2, 1.0, 1), FLAGS, "python train.py --name x")
    assert advice == "to finish in about 2 days 16 h: python train.py --name x --netG resnet_6blocks"


def test_weeks_become_days_with_fewer_epochs():
    advice = smaller_command(Estimate(LIMIT_SECONDS * 8, 1.0, 1), FLAGS | {"crop_size": 512, "load_size": 572}, "T")
    assert "--load_size 286 --crop_size 256 --netG resnet_6blocks" in advice
    assert "--n_epochs 66 --n_epochs_decay 66" in advice and "2 days 23 h" in advice


def test_nothing_left_to_shrink():
    flags = {"netG": "unet_256", "n_epochs": 1, "n_epochs_decay": 0}
    assert smaller_command(Estimate(LIMIT_SECONDS * 9, 1.0, 1), flags, "T") is None
