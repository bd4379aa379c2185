"""What a log holds: measured, checked, drawn."""
