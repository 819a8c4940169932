"""Pictures for pages: which channels they show, and that values beyond the range are clipped."""

from __future__ import annotations

import torch

from training.previews import to_pictures


def test_bands_are_shown_where_an_image_has_them() -> None:
    bands = torch.linspace(-1, 1, 6).view(1, 6, 1, 1).expand(1, 6, 4, 5)
    shown = to_pictures({"real_A": bands, "real_B": bands[:, :1]}, (5, 2, 0))
    assert shown["real_A"].shape == (4, 5, 3) and shown["real_A"][0, 0].tolist() == [255, 102, 0]
    assert shown["real_B"].shape == (4, 5) and not shown["real_B"].any()
    assert to_pictures({"real_A": bands}, (3,))["real_A"].shape == (4, 5)
    assert to_pictures({"real_A": bands})["real_A"][0, 0].tolist() == [0, 51, 102]


def test_values_beyond_the_range_are_clipped() -> None:
    image = torch.tensor([-3.0, -1.0, 0.0, 1.0, 7.0]).view(1, 1, 1, 5)
    assert to_pictures({"fake_B": image})["fake_B"].tolist() == [[0, 0, 128, 255, 255]]
