"""Files -> batches: one file per --dataset_mode, each registered in DATASETS."""

from util.registry import Registry

DATASETS = Registry("DATASETS", "data set", "data")
