"""The capture app's functions, and its callback in real Gradio apps. The page itself is tried in
test_browser."""

import io
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio_client import Client, handle_file  # type: ignore[import-untyped]
from PIL import Image

import capture_app
from capture_app import LogFlags
from data_access.errors import SettingsError
from data_access.images import UnreadableImageError
from data_access.log import Log
from data_access.writer import Writer
from serving import Service
from tests.samples import picture
from tests.test_serving import LETTER, events, recognizer, service

__all__ = ["recognizer", "service"]  # fixtures


def test_a_drawing_keeps_its_ground() -> None:
    strokes = Image.new("RGBA", (60, 30))
    strokes.paste("#808080", (10, 10, 50, 14))
    for _, ground in capture_app.SHEETS.values():
        body = capture_app._read_drawing(ground, {"composite": strokes})
        with Image.open(io.BytesIO(body)) as drawn:
            assert drawn.mode == "L" and drawn.getpixel((0, 0)) == Image.new(
                "RGB", (1, 1), ground
            ).convert("L").getpixel((0, 0))
            assert drawn.getpixel((30, 12)) == 128


@pytest.mark.parametrize("drawn", [None, {"composite": None}])
def test_reading_nothing_is_told(drawn: dict[str, Any] | None) -> None:
    with pytest.raises(gr.Error, match="first"):
        capture_app._read_picture(None)
    with pytest.raises(gr.Error, match="first"):
        capture_app._read_drawing("#000000", drawn)


def test_what_is_read_is_what_is_shown(service: Service) -> None:
    key, shown, text, note, *_ = capture_app._answer(
        service, capture_app._read_picture, f"{LETTER}"
    )
    assert key and text and "Read by v2" in note
    with Image.open(LETTER) as given:
        assert shown.tobytes() == given.tobytes()


def test_a_file_that_is_no_image_is_told(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"<script>")
    with pytest.raises(gr.Error, match="cannot be read") as told:
        capture_app._answer(service, capture_app._read_picture, f"{path}")
    assert isinstance(told.value.__cause__, UnreadableImageError)


def test_a_flag_that_says_too_much_is_told(service: Service) -> None:
    key = service.read(picture(), "test").record_key
    assert key is not None
    with pytest.raises(gr.Error, match="could not be kept"):
        capture_app._flag(service, "other", key, "", "x" * 2_000_000)


def read(image: Image.Image) -> str:
    return f"{image.width} wide"


def launched(flags: LogFlags, **more: Any) -> gr.Interface:
    """A reader that is not ours, flagged into our log."""
    app = gr.Interface(
        read,
        gr.Image(type="pil"),
        gr.Textbox(),
        flagging_callback=flags,
        analytics_enabled=False,
        **more,
    )
    app.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    return app


def press(app: gr.Interface, image: Path, times: int) -> None:
    """Read a picture and press the first flag so many times, through the HTTP API."""
    client = Client(app.local_url, verbose=False)
    text = client.predict(handle_file(f"{image}"), api_name="/read")
    [flag, *_] = [
        number
        for number, row in enumerate(client.config["dependencies"])
        if len(row["inputs"]) == 2
    ]
    for _ in range(times):
        client.predict(handle_file(f"{image}"), text, fn_index=flag)


def test_any_gradio_app_flags_into_the_log(folder_log: Log, tmp_path: Path) -> None:
    writer = Writer(folder_log, tmp_path / "spool")
    app = launched(
        LogFlags("reader", "1.2", writer=writer), flagging_options=[("Wrong", "incorrect")]
    )
    image = tmp_path / "picture.png"
    image.write_bytes(picture(size=(31, 16)))
    try:
        press(app, image, times=2)
    finally:
        app.close()
    [logged] = events(folder_log, "predictions/")
    assert (logged.application, logged.version, logged.output_text) == ("reader", "1.2", "31 wide")
    with Image.open(io.BytesIO(folder_log.image(logged.image))) as kept:
        assert kept.size == (31, 16)
    said = events(folder_log, "feedback/")
    assert [(row.record_key, row.flag) for row in said] == [(logged.record_key, "incorrect")] * 2


def test_flagging_automatically_logs_every_answer(folder_log: Log, tmp_path: Path) -> None:
    writer = Writer(folder_log, tmp_path / "spool")
    app = launched(LogFlags("reader", writer=writer), flagging_mode="auto")
    try:
        for width in (20, 30):
            (tmp_path / "picture.png").write_bytes(picture(size=(width, 16)))
            press(app, tmp_path / "picture.png", times=1)
    finally:
        app.close()
    texts = [row.output_text for row in events(folder_log, "predictions/")]
    assert sorted(texts) == ["20 wide", "30 wide"]
    assert not events(folder_log, "feedback/")


def test_no_file_outside_gradios_own_is_logged(folder_log: Log, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture())
    flags = LogFlags("reader", writer=Writer(folder_log, tmp_path / "spool"))
    image, text = gr.Image(), gr.Textbox()
    flags.setup([image, text], "unused")
    inside = Path(image.GRADIO_CACHE) / ".." / secret.relative_to("/")
    for number, path in enumerate((secret, inside, tmp_path, Path("/proc/self/environ"))):
        flags.flag([{"path": f"{path}"}, f"{number}"], "incorrect")
    logged = events(folder_log, "predictions/")
    assert len(logged) == 4 and not any(row.image for row in logged)


def test_without_a_log_an_app_does_not_start() -> None:
    with pytest.raises(SettingsError, match="MISREAD_LOG"):
        LogFlags("reader").setup([], "unused")
