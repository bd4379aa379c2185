"""From a batch to a loss and to scores: embed, encode, choose targets, score."""
