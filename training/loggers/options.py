"""The flags of what is shown while the training runs."""

from __future__ import annotations

from dataclasses import dataclass

from util.option import option


@dataclass(frozen=True)
class DisplayOptions:
    """How often, where and how the training shows its state."""

    print_freq: int = option(100, "images between two reports of the losses", minimum=1)
    display_freq: int = option(400, "images between two displays of image rows", minimum=1)
    update_html_freq: int = option(1000, "images between two rows saved to the HTML page", minimum=1)
    no_html: bool = option(False, "write no HTML page to <checkpoints_dir>/<name>/web")
    display_winsize: int = option(256, "width of the images shown in visdom and HTML", scope="session", minimum=1)
    display_id: int = option(1, "visdom window number; 0 or less: no visdom", scope="session")
    display_server: str = option("http://localhost", "address of the visdom server", scope="session")
    display_port: int = option(8097, "port of the visdom server", scope="session", minimum=1, maximum=65535)
    display_env: str = option("main", "visdom environment", scope="session")
    display_ncols: int = option(
        4, "images per row of the one visdom panel; 0: one window per image", scope="session", minimum=0
    )
    use_tensorboard: bool = option(False, "also write TensorBoard files to the run's folder", scope="session")
    use_wandb: bool = option(
        False, "also log to Weights & Biases; WANDB_MODE=offline keeps it on this machine", scope="session"
    )
    wandb_project_name: str = option("CycleGAN-and-pix2pix", "project name for Weights & Biases", scope="session")
