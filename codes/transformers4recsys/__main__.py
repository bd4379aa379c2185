"""Run the program by `python -m transformers4recsys`."""

import sys

from transformers4recsys.cli import main

if __name__ == "__main__":
    sys.exit(main())
