"""From hidden states and labels to a loss: a kind of loss a file."""
