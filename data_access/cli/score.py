"""`score`: compute expensive values once, into the log, for every reader."""

from dataclasses import replace

import click

from data_access.cli._shared import log_option, opened
from data_access.progress import SyncBars, counted
from data_access.scoring.report import ScoringReport
from data_access.scoring.toxicity import model_name

EPILOG = """
MODEL is bundled; one that Detoxify publishes (original, original-small, unbiased, unbiased-small,
multilingual), whose weights are downloaded once into TORCH_HOME; or the path of a checkpoint. The
scores of two models are never mixed: the pages show those of MISREAD_TOXICITY once it has scored as
many texts as any other, and name the model.
"""


@click.command(
    "score", short_help="score texts with Detoxify, and images, into the log", epilog=EPILOG
)
@log_option
@click.option(
    "--what",
    type=click.Choice(["texts", "images", "all"]),
    default="texts",
    help="images: which each reader would otherwise score for itself (default: texts)",
)
@click.option(
    "--model",
    metavar="MODEL",
    help="of texts (default: MISREAD_TOXICITY, or else bundled)",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    help="ray: on a cluster, or on this machine's processors (needs requirements-ray.txt)",
)
@click.option("--address", metavar="ADDRESS", help="of a Ray cluster (default: start one here)")
def command(
    place: str | None, what: str, model: str | None, engine: str, address: str | None
) -> int:
    """Score every output and truth that has no scores of a Detoxify model yet (or the projections
    of every image) and write the scores into the log, for every reader. Can be stopped at any time
    and run again; nothing is scored twice.
    """
    ray = engine == "ray"
    with opened(place) as log:
        if model:
            log.settings = replace(log.settings, toxicity=model)
        if what in ("images", "all"):
            with SyncBars() as bars:
                images = log.score_images(bars.show, ray=ray, address=address)
            print(_images_sentence(images))
        if what in ("texts", "all"):
            with SyncBars() as bars:
                texts = log.score(bars.show, ray=ray, address=address)
            print(_texts_sentence(texts, model_name(log.settings.toxicity)))
    return 0


def _texts_sentence(report: ScoringReport, model: str) -> str:
    words = f" {counted(report.words, 'word')} of offensive texts scored." if report.words else ""
    if not report.scored:
        return words.strip() or f"Nothing to score: {model} has scored every text."
    return (
        f"{counted(report.scored, 'output or truth', 'outputs and truths')} scored by "
        f"{model} ({counted(report.computed, 'different text')}), in "
        f"{counted(report.objects, 'object')}.{words}"
    )


def _images_sentence(report: ScoringReport) -> str:
    if not report.total:
        return "Nothing to score: the log has values for every readable image."
    sentence = f"{counted(report.scored, 'image')} scored, in {counted(report.objects, 'object')}"
    known = report.scored - report.computed
    sentence += f" ({known:,} of them by an earlier sync)." if known else "."
    if report.left:
        sentence += f" {counted(report.left, 'image')} could not be scored and will be retried."
    return sentence
