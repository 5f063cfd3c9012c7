import io
import json
import math
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageStat
from scipy import stats

from data_access.errors import SettingsError
from data_access.images import greyscale, open_image
from data_access.projections import image, load_projections, projection, text
from data_access.projections.table import PROJECTIONS
from tests.samples import ROOT, SAMPLE, picture, png

TEXTACY = json.loads((Path(__file__).parent / "data" / "textacy_entropy.json").read_text())
pictures = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12))


def test_word_entropy_is_textacys() -> None:
    found = text.word_entropy([row["text"] for row in TEXTACY])
    expected = [row["entropy"] for row in TEXTACY]
    assert len(expected) > 300
    assert np.abs(np.array(found) - expected).max() < 1e-12


def test_word_entropy_is_the_same_in_many_threads() -> None:
    texts = [[f"the could be the seen {n} w{n}x{m}" for m in range(20)] for n in range(40)]
    expected = [text.word_entropy(part) for part in texts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(text.word_entropy, texts * 3)) == expected * 3


@pytest.mark.parametrize(
    ("words", "entropy"),
    [("Hello, world! Hello?", 0.9183), ("a b c d", 2.0), ("don't stop", 1.585), ("", 0.0),
     ("The the cat", 1.585), ("one", 0.0), (" \n ", 0.0), ("...", 0.0)],
)  # fmt: skip
def test_word_entropy_of_texts_counted_by_hand(words: str, entropy: float) -> None:
    assert text.word_entropy([words])[0] == pytest.approx(entropy, abs=1e-4)


@given(st.lists(st.text(" \t\n\u3000\x1f\xa0ad't.,-(@/:$1!", max_size=40), max_size=8))
def test_word_entropy_is_that_of_the_tokens_of_the_whole_text(texts: list[str]) -> None:
    """Words are tokenized once each, apart from their texts."""
    tokens = [text._english().tokenizer(one) for one in texts]
    words = [Counter(t.text for t in row if not (t.is_punct or t.is_space)) for row in tokens]
    expected = [stats.entropy(list(count.values()), base=2) if count else 0.0 for count in words]
    assert text.word_entropy(texts) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.text(max_size=30), max_size=5))
def test_every_text_has_values_in_its_bounds(texts: list[str]) -> None:
    for row in PROJECTIONS:
        if row.compute is not None and row.inputs == ("outputs.output_text",):
            low, high = (math.inf * sign if b is None else b
                         for sign, b in zip((-1, 1), row.bounds, strict=True))  # fmt: skip
            values = list(row.compute(texts))
            assert len(values) == len(texts)
            assert all(math.isnan(value) or low <= value <= high for value in values), row.name


@given(st.text(max_size=30))
def test_one_text_has_the_value_it_has_in_a_batch(one: str) -> None:
    batch = ["the cat", one, ""]
    for function in (text.word_entropy, text.character_entropy, text.repetition, text.length):
        assert function(batch)[1] == function([one])[0]


@pytest.mark.parametrize(
    "looping",
    ["to to of to of to to of to to", "the the the the THE THE the the", "ELEL ELELEL ELEL",
     "TEITEITELT SEFTELELELEL", "aaaaaaaaaaaaaaaa", "go!go!go!go!go!",
     "I said that I said that I said that I said that"],
)  # fmt: skip
def test_loops_are_repetitive(looping: str) -> None:
    assert text.repetition([looping])[0] > 0.3


@pytest.mark.parametrize(
    "english",
    [
        "Eggs, oat milk, two lemons, candles for Saturday",
        "The kettle hummed while Nora sorted the mail on the kitchen table.",
        "Our bus was late, so we walked, and walking we were late as well.",
        " ".join(row["text"] for row in TEXTACY[:20]),
    ],
)
def test_english_is_not_repetitive(english: str) -> None:
    assert text.repetition([english])[0] < 0.3


@pytest.mark.parametrize(
    ("output", "truth", "rate"),
    [("kitten", "sitting", 3 / 7), ("", "abc", 1.0), ("abc", "abc", 0.0), ("abcabc", "abc", 1.0),
     ("a  b\n", "a b", 0.0), ("née", "nee", 1 / 3)],
)  # fmt: skip
def test_character_error_rate_counts_edits(output: str, truth: str, rate: float) -> None:
    assert text.character_error_rate([output], [truth]) == [pytest.approx(rate)]


def test_nothing_can_be_said_of_the_error_rate_of_an_empty_truth() -> None:
    assert math.isnan(text.character_error_rate(["a"], [" \n"])[0])


def test_characters_outside_the_alphabet_are_a_share() -> None:
    assert text.outside_alphabet(["café", "cafe", "✓"]) == [0.25, 0.0, 1.0]
    assert text.outside_alphabet(["café", "é"], alphabet="é") == [0.75, 0.0]
    assert math.isnan(text.outside_alphabet([""])[0])


def test_the_alphabet_of_the_settings_changes_value_and_version() -> None:
    name = "outside_alphabet(outputs.output_text)"
    usual, own = load_projections(alphabet=text.PRINTABLE)[name], load_projections((), "é")[name]
    assert usual.version != own.version
    assert usual.compute is not None
    assert own.compute is not None
    assert list(usual.compute(["é!"])) == list(own.compute(["é!"])) == [0.5]
    assert list(own.compute(["é"])) == [0.0]


def test_counts_are_counts() -> None:
    assert text.length(["", "née\n", "🙂"]) == [0, 4, 1]
    assert text.words(["", " a  b\nc "]) == [0, 3]
    assert text.character_entropy(["aabb", "a", ""]) == [1, 0, 0]


@given(pictures)
def test_image_mean_and_contrast_are_pillows(levels: np.ndarray) -> None:
    stat = ImageStat.Stat(Image.fromarray(levels))
    assert image.mean(levels) == pytest.approx(stat.mean[0], abs=1e-9)
    assert image.contrast(levels) == pytest.approx(stat.stddev[0], abs=1e-6)


def test_image_mean_is_pillows_on_the_sample() -> None:
    for path in sorted((SAMPLE / "images").rglob("*.png"))[:20]:
        with Image.open(path) as opened:
            expected = ImageStat.Stat(opened.convert("L")).mean[0]
        levels = greyscale(open_image(path.read_bytes()))
        assert image.mean(levels) == pytest.approx(expected, abs=1e-9)


def test_polarity_is_positive_for_dark_on_light_and_turns_with_the_image() -> None:
    dark_on_light = greyscale(open_image(picture(230, 20)))
    assert image.polarity(dark_on_light) == pytest.approx(210 / 255)
    assert image.polarity(255 - dark_on_light) == pytest.approx(-210 / 255)
    assert image.ink_share(255 - dark_on_light) == pytest.approx(20 * 4 / (24 * 16))
    assert image.ink_share(dark_on_light) == pytest.approx(20 * 4 / (24 * 16))


@pytest.mark.parametrize("level", [0, 127, 255])
def test_a_blank_image_has_no_polarity_and_no_ink(level: int) -> None:
    blank = np.full((10, 10), level, np.uint8)
    assert math.isnan(image.polarity(blank))
    assert math.isnan(image.ink_share(blank))
    assert (image.mean(blank), image.contrast(blank), image.sharpness(blank)) == (level, 0, 0)


@given(pictures)
def test_every_image_has_values_in_its_bounds(levels: np.ndarray) -> None:
    for row in PROJECTIONS:
        if row.compute is not None and row.of_image:
            value = row.compute([levels])[0]
            low, high = row.bounds
            assert math.isnan(value) or low is None or value >= low - 1e-12, row.name
            assert math.isnan(value) or high is None or value <= high + 1e-12, row.name


def test_a_blurred_image_is_less_sharp() -> None:
    levels = greyscale(open_image(picture()))
    blurred = np.asarray(Image.fromarray(levels).resize((12, 8)).resize((24, 16)))
    assert image.sharpness(blurred) < image.sharpness(levels)
    assert math.isnan(image.sharpness(levels[:2]))


def test_width_and_height_are_those_a_person_sees() -> None:
    levels = greyscale(open_image(picture(size=(30, 20))))
    assert (image.width(levels), image.height(levels)) == (30, 20)
    exif = Image.Exif()
    exif[0x0112] = 6  # held upright, photographed lying
    body = io.BytesIO()
    Image.new("L", (30, 20)).save(body, "PNG", exif=exif)
    upright = greyscale(open_image(body.getvalue()))
    assert (image.width(upright), image.height(upright)) == (20, 30)


@pytest.mark.parametrize(
    ("one", "mean"),
    [
        (Image.new("RGBA", (4, 4), (0, 0, 0, 0)), 255),
        (Image.new("RGBA", (4, 4), (0, 0, 0, 255)), 0),
        (Image.new("LA", (4, 4), (0, 0)), 255),
        (Image.new("1", (4, 4), 1), 255),
        (Image.new("P", (4, 4), 0), 0),
        (Image.new("I;16", (4, 4), 65535), 255),
        (Image.new("RGB", (4, 4), (255, 0, 0)), 76),
    ],
    ids=lambda value: getattr(value, "mode", ""),
)
def test_every_kind_of_image_becomes_grey(one: Image.Image, mean: float) -> None:
    assert image.mean(greyscale(open_image(png(one)))) == pytest.approx(mean, abs=1)


def test_a_wrong_module_of_projections_is_told(tmp_path: Path) -> None:
    empty, broken = tmp_path / "empty.py", tmp_path / "broken.py"
    empty.touch()
    broken.write_text("import nothing_of_that_name")
    for module, said in (
        (str(empty), r"registers no @projection\.$"),
        (str(broken), "cannot be imported: ModuleNotFoundError"),
        (str(tmp_path / "gone.py"), "cannot be imported: FileNotFoundError"),
        ("nothing_of_that_name", "cannot be imported"),
    ):
        with pytest.raises(SettingsError, match=said):
            load_projections([module])
    with pytest.raises(SettingsError, match="cannot read tags"):
        projection("tags", unit="", explanation="")


def test_the_table_is_fit_for_pages() -> None:
    assert len({row.name for row in PROJECTIONS}) == len(PROJECTIONS)
    assert len({row.label for row in PROJECTIONS}) == len(PROJECTIONS)
    assert all(row.explanation.endswith(".") and row.unit for row in PROJECTIONS)


def test_scoring_texts_does_not_import_torch(tmp_path: Path) -> None:
    """A torch of our own stands in for the real one, which takes two seconds and 200 MB."""
    (tmp_path / "torch").mkdir()
    marker = tmp_path / "imported"
    (tmp_path / "torch" / "__init__.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    asked = "from data_access.projections import text; print(text.word_entropy(['a b']))"
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    told = subprocess.run(
        [sys.executable, "-c", f"{asked}; import sys; assert 'torch' not in sys.modules"],
        env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (told.stdout, told.returncode) == ("[1.0]\n", 0), told.stderr
    assert not marker.exists()
