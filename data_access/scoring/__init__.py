"""Projections that are dear to compute: values made here or on a cluster, kept in the log."""
