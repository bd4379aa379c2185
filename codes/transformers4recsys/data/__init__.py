"""From parquet day files to batches."""
