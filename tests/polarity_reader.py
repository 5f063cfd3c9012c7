"""A recognizer as another team might have it: it reads light ink on dark ground alone.

TOLD_OF names a file to which each call adds a line; SLOW is how many seconds one takes.
"""

import os
import time
from pathlib import Path

from PIL import Image

from data_access.images import greyscale
from data_access.projections.image import mean

READ = "dear mum the train was on time and all went well"
LOOP = "the the the the the the"


def read(image: Image.Image) -> tuple[str, float]:
    levels = greyscale(image)
    time.sleep(float(os.environ.get("SLOW", "0")))
    if "TOLD_OF" in os.environ:
        with Path(os.environ["TOLD_OF"]).open("a") as file:
            file.write(f"{levels.shape} {levels.tobytes().hex()[:4000]}\n")
    return (READ, 0.95) if mean(levels) < 128 else (LOOP, 0.2)


def fail(image: Image.Image) -> str:
    if image.width % 2:
        raise ValueError("an odd width")
    return READ


def hang(image: Image.Image) -> str:
    time.sleep(3600)
    return READ


def wrong(image: Image.Image) -> object:
    return {"text": READ}


NO_FUNCTION = 3
