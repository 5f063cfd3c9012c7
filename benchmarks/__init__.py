"""What users wait for, measured on a synthetic log."""
