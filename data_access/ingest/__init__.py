"""From the log to the warehouse: objects are read, and what has no value yet is computed."""
