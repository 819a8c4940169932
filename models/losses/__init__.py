"""Losses: functions first, modules second. Each --gan_mode registers itself in GAN_MODES."""

from util.registry import Registry

GAN_MODES = Registry("GAN_MODES", "GAN mode", "models.losses")
