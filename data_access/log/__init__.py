"""The log: objects in an S3 bucket or in a folder, and what a store's failures mean."""

from data_access.log.log import (
    DAMAGED_IMAGE,
    LISTING,
    MAX_IMAGE_BYTES,
    MISSING_IMAGE,
    Log,
    LogObject,
    UnreachableLog,
    create_bucket,
    is_plain,
)

__all__ = [
    "DAMAGED_IMAGE",
    "LISTING",
    "MAX_IMAGE_BYTES",
    "MISSING_IMAGE",
    "Log",
    "LogObject",
    "UnreachableLog",
    "create_bucket",
    "is_plain",
]
