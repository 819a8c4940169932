"""Sets of images compared as wholes: FID (Heusel et al. 2017) and KID (Binkowski et al. 2018)."""

from __future__ import annotations

import numpy as np

_SUBSET, _SUBSETS = 1000, 100


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the distance of the Gaussians of two sets of features, (n,d) each with n of 2 or more.

    The trace of the root of the product of both covariances is the sum of the singular values of the product of the
    centred features, which needs neither a d x d root nor more images than features.
    """
    difference = first.mean(axis=0) - second.mean(axis=0)
    scaled = [_reduced((part - part.mean(axis=0)) / np.sqrt(len(part) - 1)) for part in (first, second)]
    spread = sum(float(np.square(part).sum()) for part in scaled)
    shared = float(np.linalg.svd(scaled[0] @ scaled[1].T, compute_uv=False).sum())
    return max(0.0, float(difference @ difference) + spread - 2 * shared)


def _reduced(features: np.ndarray) -> np.ndarray:
    """Return a matrix of at most d rows with the same covariance."""
    return np.asarray(np.linalg.qr(features, mode="r")) if len(features) > features.shape[1] else features


def kernel_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the squared maximum mean discrepancy under the kernel (x.y / d + 1)^3, unbiased: about 0 for equal sets.

    Of more than 1000 images it is the mean over 100 random subsets of 1000, as published.
    """
    if min(len(first), len(second)) <= _SUBSET:
        return _discrepancy(first, second)
    random = np.random.default_rng(0)

    def draw(features: np.ndarray) -> np.ndarray:
        return features[random.choice(len(features), _SUBSET, replace=False)]

    return float(np.mean([_discrepancy(draw(first), draw(second)) for _ in range(_SUBSETS)]))


def _discrepancy(first: np.ndarray, second: np.ndarray) -> float:
    within = sum(_mean_apart(_kernel(part, part)) for part in (first, second))
    return within - 2 * float(_kernel(first, second).mean())


def _mean_apart(kernel: np.ndarray) -> float:
    """Return the mean of a square matrix off its diagonal."""
    return float((kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)))


def _kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first @ second.T / first.shape[1] + 1) ** 3
