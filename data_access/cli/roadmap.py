"""`roadmap`: the failure modes with their sizes, as of the last sync."""

import json

import click

from data_access import queries, reports
from data_access.cli._shared import log_option, opened, refresh_copy
from data_access.selection import parse_selection


@click.command("roadmap", short_help="failure modes with their sizes, owners and what fell")
@log_option
@click.argument("query", metavar="[SELECTION]", default="environment=prod")
@click.option("--markdown", "as_markdown", is_flag=True, help="as a note, with a table")
@click.option("--json", "as_json", is_flag=True, help="as one JSON object, for scripts")
def command(place: str | None, query: str, as_markdown: bool, as_json: bool) -> int:
    """Print the failure modes by size × severity. SELECTION: environment, version, application,
    since and until count (default: environment=prod).
    """
    with opened(place) as log:
        selection = parse_selection(query, log.warehouse.projections)
        refresh_copy(log)
        found = queries.roadmap_of(log.warehouse, selection)
    if as_json:
        rows = reports.roadmap_records(found)
        print(json.dumps({"summary": reports.summary(found), "failure_modes": rows}, default=str))
    elif as_markdown:
        print(reports.roadmap_markdown(found), end="")
    else:
        for line in reports.summary(found):
            print(line)
        for row in found.rows:
            print(
                f"{row.mode.title:<40.40}  {reports.size(row.size):<18}  "
                f"{reports.status(row):<20}  {reports.effect(row.effect)}"
            )
    return 0
