"""`status`: what has been read of the log."""

import json
from dataclasses import asdict

import click

from data_access import queries
from data_access.cli._shared import log_option, opened, refresh_copy


@click.command(
    "status", short_help="what has been read: predictions, flagged, unscored, quarantined"
)
@log_option
@click.option("--json", "as_json", is_flag=True, help="as one JSON object, for scripts")
def command(place: str | None, as_json: bool) -> int:
    """Print what the warehouse holds of the log, as of its last sync (or as of now, where a
    dashboard has the warehouse and this reads into a copy).
    """
    with opened(place) as log:
        refresh_copy(log)
        status = queries.status(log.warehouse)
        if as_json:
            fields = {"log": log.settings.log, **asdict(status)}
            print(json.dumps(fields, default=lambda moment: moment.isoformat()))
            return 0
        lines = {
            "log": log.settings.log,
            "warehouse": log.warehouse.path,
            "synced": status.synced or "never; run `python -m data_access sync`",
            "predictions": f"{status.predictions:,}",
            "flagged": f"{status.flagged:,}",
            "unscored": f"{status.unscored:,}",
            "quarantined": f"{status.quarantined:,}",
            "feedback waiting for its prediction": f"{status.waiting:,}",
            "newest record": status.newest or "none",
        }
        for name, value in lines.items():
            print(f"{name + ':':<37}{value}")
    return 0
