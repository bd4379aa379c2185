"""Train and evaluate day after day: the documented entry point, the same as `transformers4recsys train`."""

import sys

from transformers4recsys.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
