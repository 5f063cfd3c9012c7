"""Replay: the recognizer run again on altered images, and what that proves."""
