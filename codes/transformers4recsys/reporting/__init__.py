"""What a run leaves behind: result files, logs, predictions, attention weights, a file per output."""
