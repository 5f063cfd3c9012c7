"""Reads a photographed line or paragraph: an image in, a text with a confidence per character out.

Nothing here is imported until it is used: torch is heavy, and the dashboard starts without it.
"""
