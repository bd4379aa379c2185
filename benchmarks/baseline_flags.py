"""The flags that `transformers4recsys benchmark` gives a baseline, and what all baselines share."""

from __future__ import annotations

import argparse

SHARE_TO_TRAIN, CUTOFF = 0.9, 20
SIZES = {"steps": 60, "warmup": 10, "batch": 256, "d": 128, "layers": 2, "heads": 4, "maxlen": 20, "threads": 2}


def parsed(description: str | None) -> argparse.Namespace:
    """Read the flags of the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", required=True, help="parquet file with list columns `items` and `times`")
    for name, default in (SIZES | {"eval-sessions": 5_000}).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()
