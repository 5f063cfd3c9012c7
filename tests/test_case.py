"""One case: what is unusual about it, what is like it, and how its page says so."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from data_access import queries
from data_access.api import OpenLog
from data_access.images import greyscale
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.selection import Selection
from data_access.similar_images import ALIKE, BITS, perceptual_hash, similar_images
from data_access.statistics.text_differences import MIN_LIKENESS, likeness
from pages.parts import cards
from readings.answers import Reading
from readings.cache import put_readings
from readings.sources import own_models
from replay.interventions import intervention
from tests.conftest import OpenWarehouse
from tests.samples import SAMPLE, feedback, open_log, png, prediction, write, write_picture
from tests.test_pages import Dashboard, dashboard, displayed, shown_html, stands, text

__all__ = ["dashboard", "displayed"]

SAID = "the could be the seen of the could be"
TEST = Selection(environment=("test",))


def writing(seed: int, size: tuple[int, int] = (240, 120)) -> Image.Image:
    """Strokes of ink on a light ground, others for each seed."""
    random = np.random.default_rng(seed)
    image = Image.new("L", size, 225)
    pen = ImageDraw.Draw(image)
    for _ in range(25):
        start, end = (random.integers(0, size, 2).tolist() for _ in range(2))
        pen.line([*start, *end], fill=int(random.integers(10, 60)), width=4)
    return image


def test_unusual_values_are_beyond_nearly_all_of_the_baseline(sample_log: OpenLog) -> None:
    page = queries.cases_page(sample_log.warehouse, Selection(environment=("prod",)), size=570)
    some = 0
    for record in page.records[::19]:
        places = queries.places(sample_log.warehouse, TEST, record)
        unusual = queries.unusual(places)
        assert unusual is not None
        shares = [value.share for value in unusual]
        assert shares == sorted(shares, reverse=True)
        beyond = {
            place.projection.name: place.higher >= place.lower
            for place in places
            if max(place.lower, place.higher) >= 0.95
        }
        assert {v.projection.name: v.side == "higher" for v in unusual} == beyond
        some += bool(beyond)
    assert some > 10


def test_nothing_is_unusual_against_a_few(folder_log: Log, open_warehouse: OpenWarehouse) -> None:
    usual = [prediction(f"t{n}", "a few words", environment="test") for n in range(39)]
    write(folder_log, "predictions/a.jsonl", prediction("odd", "x" * 400), *usual)
    warehouse = open_warehouse(folder_log)
    sync(folder_log, warehouse)
    case = queries.case(warehouse, "odd")
    assert case is not None
    assert queries.unusual(queries.places(warehouse, TEST, case.record)) is None
    nowhere = Selection(environment=("nowhere",))
    assert queries.unusual(queries.places(warehouse, nowhere, case.record)) is None


def test_texts_are_marked_only_where_they_are_alike() -> None:
    assert likeness("the cat sat", "the bat sat") >= MIN_LIKENESS
    assert cards.marked("the cat", "the bat") == ("the <del>c</del>at", "the <ins>b</ins>at")
    assert likeness("the could be", "Peel, chop, <b>") < MIN_LIKENESS
    assert cards.marked("the could be", "Peel, chop, <b>") == (
        "the could be", "Peel, chop, &lt;b&gt;",
    )  # fmt: skip


def test_a_perceptual_hash_survives_copies_and_tells_an_inverse() -> None:
    hashes: list[int] = []
    for seed in range(12):
        image = writing(seed)
        body = io.BytesIO()
        image.resize((200, 100)).save(body, "JPEG", quality=60)
        copy = perceptual_hash(greyscale(Image.open(body)))
        own = perceptual_hash(greyscale(image))
        assert (own ^ copy).bit_count() <= ALIKE
        assert (own ^ perceptual_hash(greyscale(ImageOps.invert(image)))).bit_count() >= BITS - 2
        assert all(ALIKE < (own ^ other).bit_count() < BITS - ALIKE for other in hashes)
        hashes.append(own)
    assert 0 <= perceptual_hash(np.full((1, 1), 7, np.uint8)) < 2**BITS


@pytest.fixture
def alike_log(folder_log: Log) -> str:
    """One case `a` of image 0, another of the same image, a copy of it, its inverse, others; a
    replay of it by its own model."""
    first = write_picture(folder_log, png(writing(0)))
    names = {
        "copy": writing(0).resize((220, 110)),
        "inverse": ImageOps.invert(writing(0)),
        **{f"other{seed}": writing(seed) for seed in range(1, 6)},
    }

    write(
        folder_log,
        "predictions/a.jsonl",
        prediction(
            "a",
            SAID,
            version="v1",
            inputs__image=first,
            outputs__character_confidences=[0.12, *[0.9] * (len(SAID) - 1)],
            tags={"client": "w_eb"},
            feedback={"comment": "at once"},
        ),
        prediction("again", "other words", inputs__image=first, timestamp="2026-07-06T13:00:00Z"),
        *(
            prediction(key, f"{SAID}{key}", inputs__image=write_picture(folder_log, png(image)))
            for key, image in names.items()
        ),
        prediction("blank", ""),
        prediction("none", None),
    )
    write(
        folder_log,
        "feedback/a.jsonl",
        feedback("a", comment="see <i>this</i>", user="ann"),
        feedback("a", None, ground_truth_string="Peel, chop, salt", user="bob"),
    )
    sha256 = first.rpartition("/")[2].removesuffix(".png")
    inverted = (sha256, intervention("invert").key)
    put_readings(folder_log, own_models()["v1"].key, {inverted: Reading("Peel, <b>chop", 0.9)})
    return folder_log.uri


def test_what_is_like_a_case(alike_log: str, tmp_path: Path) -> None:
    log = open_log(alike_log, tmp_path / "warehouse.duckdb")
    log.sync()
    case = queries.case(log.warehouse, "a")
    assert case is not None
    assert [record.record_key for record in queries.same_image(log.warehouse, case.record)] == [
        "again"
    ]
    images = similar_images(log, case.record, 3)
    assert {record.record_key for record in images.records} == {"copy", "inverse"}
    inverse = [record.record_key for record in images.records].index("inverse")
    assert [*images.inverted].index(True) == inverse and sum(images.inverted) == 1
    assert (images.searched, images.images) == (7, 8)

    texts = queries.similar_texts(log.warehouse, case.record, 3)
    assert texts.records[0].record_key == "copy", "the shortest addition"
    assert texts.likeness[0] == pytest.approx(likeness(texts.records[0].output_text or "", SAID))
    assert list(texts.likeness) == sorted(texts.likeness, reverse=True)
    assert (texts.searched, texts.outputs) == (7, 9), "blank texts and the same image are left out"
    for key in ("blank", "none"):
        nothing = queries.case(log.warehouse, key)
        assert nothing is not None
        assert not queries.similar_texts(log.warehouse, nothing.record, 3).records
        assert similar_images(log, nothing.record, 3).searched == 0
    log.close()


def test_the_page_of_a_case(dashboard: Dashboard, alike_log: str) -> None:
    app = dashboard("case", alike_log, "page.record=a")
    stands(app)
    said, shown = text(app), shown_html(app)
    assert r"client **w\_eb**" in said and "predicted **6 Jul 2026, 12:00**" in said
    assert "this image is in **2** records" in said and "1 other record of this image" in said
    assert "Inverted image, read by v1" in said and "Peel, &lt;b&gt;chop" in shown
    assert "<b>Predicted</b> by version v1" in shown and "6 Jul 2026, 12:00" in shown
    assert "“at once” (logged with the prediction)" in shown
    assert "“see &lt;i&gt;this&lt;/i&gt;” by ann" in shown and "7 Jul 2026, 12:00" in shown
    assert '<mark title="12%">t</mark>he could' in shown and "Lowest: 12%." in said
    assert "<del>" not in shown, "texts that have nothing in common are left as they are"
    assert "Most similar images by perceptual hash, of 7 compared" in said and "inverted" in said
    assert "Not enough data in the 28 days before" in said


def test_going_back_leads_to_the_page_of_the_list_and_to_the_card(
    dashboard: Dashboard, sample_log: OpenLog
) -> None:
    prod = Selection(environment=("prod",))
    key = queries.cases_page(sample_log.warehouse, prod, page=2).records[5].record_key
    app = dashboard("case", SAMPLE, f"environment=prod&page.record={key}")
    back = next(link.proto for link in app.get("page_link") if link.proto.label == "Back to cases")
    assert "page.number=3" in back.query_string
    app.switch_page("pages/cases.py").run()
    stands(app)
    assert "49 to 72 of 570" in text(app)
    assert "scrollIntoView" in shown_html(app)
    assert "scrollIntoView" not in shown_html(app.run()), "once"
