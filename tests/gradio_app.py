"""Gradio apps that flag in several ways, run by test_import_gradio as a process of its own.

Started in the app's working directory with the ports of the apps in `APPS`, in that order.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.flagging import ClassicCSVLogger
from PIL import Image

OUTPUTS = (
    "=SUM(1)",
    '{"é":  [1, "ß"]}',
    'two\nlines, "quoted"',
    "",
    "'quoted', -1,-2",
    "- ’ \u202e",
)
OPTIONS = [("Flag as wrong", "incorrect"), ("Flag as offensive", "offensive"), ("Flag", None)]


def read(image: Image.Image | None) -> str:
    """The output is told by the width, so that a test knows it."""
    return "" if image is None else OUTPUTS[image.width % len(OUTPUTS)]


def interface(**more: Any) -> gr.Interface:
    return gr.Interface(
        read, gr.Image(type="pil", label="Handwritten Text"), gr.Textbox(label="output"), **more
    )


APPS: dict[str, Callable[[], gr.Interface]] = {
    # a button without a value makes rows of another length
    "manual": lambda: interface(flagging_options=OPTIONS, flagging_dir="flagged"),
    # another header in the same folder: dataset2.csv
    "auto": lambda: interface(flagging_mode="auto", flagging_dir="flagged"),
    "classic": lambda: interface(
        flagging_options=OPTIONS, flagging_dir="classic", flagging_callback=ClassicCSVLogger()
    ),
}

if __name__ == "__main__":
    for (name, build), port in zip(APPS.items(), sys.argv[1:], strict=True):
        build().launch(
            server_name="127.0.0.1",
            server_port=int(port),
            auth=("ann", "secret") if name == "classic" else None,
            prevent_thread_lock=True,
            quiet=True,
        )
    print("ready", flush=True)
    time.sleep(120)
