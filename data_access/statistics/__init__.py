"""Pure statistics: arrays in, numbers out. No warehouse, no selection."""
