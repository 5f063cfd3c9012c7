"""The log and its warehouse opened together: what notebooks, commands and pages start from."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

import pandas as pd

from data_access import queries
from data_access.annotations import Kept, remove_selection, save_selection, send_waiting
from data_access.demo import served_log
from data_access.errors import LogError, ModelError, WarehouseError
from data_access.images import open_image
from data_access.ingest.report import SyncReport
from data_access.ingest.sync import sync
from data_access.log import Log, UnreachableLog
from data_access.progress import Progress, silent
from data_access.projections.custom import load_projections
from data_access.reports import roadmap_frame
from data_access.scoring.images import score_images
from data_access.scoring.report import ScoringReport
from data_access.scoring.texts import score
from data_access.scoring.toxicity import Toxicity, model_name
from data_access.scoring.words import WordScores, score_words, unscored_words
from data_access.selection import Selection, parse_selection
from data_access.settings import Settings, spool_folder
from data_access.warehouse import Warehouse
from data_access.writer import Writer

if TYPE_CHECKING:
    from PIL import Image


class OpenLog:
    """A log, the warehouse that caches it, and the settings they were opened with."""

    def __init__(self, settings: Settings, log: Log, warehouse: Warehouse) -> None:
        self.settings = settings
        self.log = log
        self.warehouse = warehouse

    def sync(self, progress: Progress = silent) -> SyncReport:
        """Bring the warehouse up to the log. Raises LogError where the log cannot be listed."""
        send_waiting(self.log)
        return sync(self.log, self.warehouse, progress)

    def score(
        self, progress: Progress = silent, ray: bool = False, address: str | None = None
    ) -> ScoringReport:
        """Score the outputs and truths that the model of MISREAD_TOXICITY has not scored yet.

        The scores go into the log and are read from it, and so do those of the single words of
        offensive texts. ray: on the cluster at `address`, or on
        one started for this. Raises ModelError where the model cannot be had, LogError where the
        log cannot be read or takes no scores.
        """
        self.sync(progress)
        setting = self.settings.toxicity
        name = model_name(setting)
        model = functools.cache(lambda: Toxicity.load(setting))
        report = ScoringReport()
        if queries.unscored_text_count(self.warehouse, name):
            if ray:
                from data_access.scoring.ray import score_on_ray

                report = score_on_ray(self.log, self.warehouse, setting, name, address, progress)
            else:
                report = score(self.log, self.warehouse, name, model().scores, progress)
            self.sync(progress)
        known = WordScores(self.log)
        known.refresh(name)
        words = unscored_words(self.warehouse, known.of(name))
        if words:
            report.words = score_words(self.log, name, words, model().scores)
        return report

    def score_images(
        self, progress: Progress = silent, ray: bool = False, address: str | None = None
    ) -> ScoringReport:
        """Score the images that no object of the log has values of, for all readers.

        Those that were scored here before are not opened again. The values go into the log
        and are read from it. Arguments and errors are those of `score`.
        """
        sync(self.log, self.warehouse, progress, images=False)
        if ray:
            from data_access.scoring.ray import score_images_on_ray

            modules = self.settings.projections
            report = score_images_on_ray(self.log, self.warehouse, modules, address, progress)
        else:
            report = score_images(self.log, self.warehouse, progress)
        self.sync(progress)
        return report

    def records(self, selection: Selection | str = "") -> pd.DataFrame:
        """The selected records, oldest first, with dotted column names; times are UTC.

        selection: as the dashboard's URL writes it, such as `environment=prod&flag=incorrect`,
        or the URL itself. Raises SelectionError where it cannot be understood.
        """
        if isinstance(selection, str):
            selection = parse_selection(selection, self.warehouse.projections)
        frame: pd.DataFrame = (
            queries.record_batches(self.warehouse, selection).read_all().to_pandas()
        )
        return frame.assign(timestamp=frame["timestamp"].dt.tz_localize("UTC"))

    def reviews(self, selection: Selection | str = "") -> pd.DataFrame:
        """The reviews of selected records, oldest first, with the verdict of all; times are UTC.

        selection: as for `records`.
        """
        if isinstance(selection, str):
            selection = parse_selection(selection, self.warehouse.projections)
        reviews = queries.review_batches(self.warehouse, selection).read_all()
        frame: pd.DataFrame = reviews.to_pandas()
        return frame.assign(timestamp=frame["timestamp"].dt.tz_localize("UTC"))

    def roadmap(self, selection: Selection | str = "environment=prod") -> pd.DataFrame:
        """The failure modes with their sizes, one row each, by size × severity.

        selection: as for `records`; its place and time count. Shares are 0 to 1.
        """
        if isinstance(selection, str):
            selection = parse_selection(selection, self.warehouse.projections)
        return roadmap_frame(queries.roadmap_of(self.warehouse, selection))

    def image(self, record_key: str) -> Image.Image:
        """The image of a record. Raises LogError or UnreadableImageError where it cannot be had."""
        case = queries.case(self.warehouse, record_key)
        if case is None:
            raise LogError(f"There is no record {record_key}.", retryable=False)
        if case.record.image is None:
            raise LogError(f"The record {record_key} has no image.", retryable=False)
        return open_image(self.log.image(case.record.image))

    def save_selection(self, name: str, selection: Selection | str, replace: bool = False) -> Kept:
        """Keep a selection in the log under a name, for all who look at it.

        selection: as for `records`. replace: let it take the place of one of that name. A store
        that is down gets it later, see `Kept`. Raises SelectionError where the selection or its
        name will not do, or the name is taken; LogError where the log refuses it.
        """
        if isinstance(selection, str):
            selection = parse_selection(selection, self.warehouse.projections)
        return save_selection(self.log, self.warehouse, name, selection, replace)

    def remove_selection(self, name: str) -> Kept:
        """Take a saved selection away. Raises LogError where the log does not take that."""
        return remove_selection(self.log, self.warehouse, name)

    def writer(self, seconds: float | None = None) -> Writer:
        """Writes predictions and feedback to this log, through the spool of MISREAD_SPOOL.

        seconds: have a thread send what is written, and try again that often. Close it when
        done. Raises LogError where the spool cannot be made.
        """
        return Writer(self.log, spool_folder(), seconds)

    def close(self) -> None:
        self.warehouse.close()


def open_log(uri: str | os.PathLike[str] | None = None) -> Log:
    """The log alone, for those that only add to it: no warehouse is opened. By default as `open`.

    Raises SettingsError or LogError.
    """
    return _log(_settings(uri, find_demo=True))


def open_writer(uri: str | os.PathLike[str] | None = None, seconds: float | None = None) -> Writer:
    """`OpenLog.writer` for an application that only writes; by default to the log of MISREAD_LOG.

    Raises SettingsError or LogError.
    """
    return Writer(_log(_settings(uri)), spool_folder(), seconds)


def open(uri: str | os.PathLike[str] | None = None) -> OpenLog:
    """Open the log at `s3://bucket/prefix` or in a folder; by default that of MISREAD_LOG or, where
    that is not set, the sample log of a `make run` that runs on this machine.

    Raises SettingsError, LogError or WarehouseError, each with a sentence that says what to do.
    A log that cannot be opened but was read before is opened as it was read; syncing it raises.
    """
    settings = _settings(uri, find_demo=True)
    try:
        log = _log(settings)
    except LogError as error:
        if not settings.warehouse.exists():
            raise
        log = UnreachableLog(settings.log, str(error))  # what was read before can still be shown
        try:
            return OpenLog(settings, log, _warehouse(settings))
        except WarehouseError:
            raise error from None
    return OpenLog(settings, log, _warehouse(settings))


def _warehouse(settings: Settings) -> Warehouse:
    try:
        scorer = model_name(settings.toxicity)
    except ModelError:  # said when something is to be scored
        scorer = None
    projections = load_projections(settings.projections, settings.alphabet, scorer)
    return Warehouse.open(settings.warehouse, settings.log, projections)


def _log(settings: Settings) -> Log:
    return Log.open(settings.log, settings.image_roots, settings.conditional_writes)


def _settings(uri: str | os.PathLike[str] | None, find_demo: bool = False) -> Settings:
    """find_demo: without a log, that of the demo; its store's variables are set in this process."""
    environ = dict(os.environ)
    if uri is not None:
        environ["MISREAD_LOG"] = os.fspath(uri)
    elif find_demo and (served := served_log()):
        environ |= served
        os.environ.update({name: value for name, value in served.items() if name[:4] == "AWS_"})
    return Settings.from_environment(environ)
