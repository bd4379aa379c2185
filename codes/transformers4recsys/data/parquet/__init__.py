"""Parquet files, their columns, and ragged tables."""
