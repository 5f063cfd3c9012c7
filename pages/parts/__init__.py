"""What pages share: the open log, widgets, charts, cards and words."""
