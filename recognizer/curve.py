"""Draws the log of a training run with nothing but Pillow."""

import csv
import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

COLOURS = {
    "ctc_loss": "#9ecae1",
    "decoder_loss": "#fdae6b",
    "ctc_cer": "#1f77b4",
    "decoder_cer": "#d62728",
}


def draw_curve(log: Path, picture: Path) -> None:
    """Losses and error rates over minutes, on a logarithmic scale from 0.01 to 10."""
    with log.open() as file:
        rows = list(csv.DictReader(file))
    width, height, left, bottom = 900, 480, 60, 40
    image = Image.new("RGB", (width, height), "white")
    drawing = ImageDraw.Draw(image)
    font = ImageFont.load_default(13)
    last = max(1.0, *(float(row["minutes"]) for row in rows))

    def place(minutes: float, value: float) -> tuple[float, float]:
        share = (math.log10(min(max(value, 0.01), 10)) + 2) / 3
        x = left + (width - left - 20) * minutes / last
        return x, height - bottom - share * (height - bottom - 20)

    for value in (0.01, 0.03, 0.1, 0.3, 1, 3, 10):
        y = place(0, value)[1]
        drawing.line([(left, y), (width - 20, y)], fill="#eeeeee")
        drawing.text((left - 8, y), f"{value:g}", fill="#555555", font=font, anchor="rm")
    for number, (name, colour) in enumerate(COLOURS.items()):
        points = [
            place(float(row["minutes"]), float(row[name]))
            for row in rows
            if float(row[name]) > 0 and not math.isnan(float(row[name]))
        ]
        if len(points) > 1:
            drawing.line(points, fill=colour, width=2)
        label = name.replace("_", " ").replace("cer", "character error rate, held-out fonts")
        drawing.text((width - 330, 16 + 18 * number), label, fill=colour, font=font)
    drawing.text((width / 2, height - 14), f"minutes, to {last:.0f}", fill="#555555", font=font)
    image.save(picture)
