"""From a log of predictions and flags to answers. The face for notebooks and scripts:

import data_access

log = data_access.open()
log.sync()
frame = log.records("environment=prod&flag=incorrect")
picture = log.image(frame["record_key"][0])
"""

from data_access.api import OpenLog, open

__all__ = ["OpenLog", "open"]
