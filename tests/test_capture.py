"""The capture app's functions, and its callback in real Gradio apps. The page itself is tried in
test_browser_jobs."""

import io
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.components import Component
from gradio.components.image_editor import EditorDataBlobs
from gradio_client import Client, handle_file  # type: ignore[import-untyped]
from PIL import Image

import capture_app
import capture_look
from capture_app import LogFlags
from data_access.errors import SettingsError
from data_access.images import UnreadableImageError
from data_access.log import Log
from data_access.writer import Writer
from serving import Service
from tests.samples import picture
from tests.test_serving import LETTER, events, recognizer, service
from tests.test_style import contrast

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


def answered(service: Service, path: Path) -> list[Any]:
    """What the page shows of a picture; its dashboard is somewhere else."""
    return capture_app._answer(
        service.reading_with,
        lambda: "https://misread.example.com",
        capture_app._read_picture,
        "v2",
        f"{path}",
    )


def test_v1_can_be_chosen_to_see_it_fail(service: Service, folder_log: Log) -> None:
    assert [name for _, name in capture_app._models("v2")] == ["v2", "v1"]
    assert service.reading_with("v2") is service
    served = service.reading_with("v1").read(LETTER.read_bytes(), "test")
    [logged] = events(folder_log, "predictions/")
    assert (logged.record_key, logged.version) == (served.record_key, "v1")


def test_the_dashboard_is_where_it_runs_or_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        assert capture_app._dashboard(port) == ""
    monkeypatch.setenv("MISREAD_URL", "https://misread.example.com/")
    assert capture_app._dashboard(port) == "https://misread.example.com"


def test_texts_of_the_page_can_be_read_in_both_themes() -> None:
    theme = capture_look.theme()
    for suffix in ("", "_dark"):
        for text, ground in (
            ("body_text_color", "body_background_fill"),
            ("block_label_text_color", "block_label_background_fill"),
            ("button_primary_text_color", "button_primary_background_fill"),
            ("button_secondary_text_color", "button_secondary_background_fill"),
            ("link_text_color", "body_background_fill"),
        ):
            colours = [getattr(theme, f"{name}{suffix}") for name in (text, ground)]
            assert contrast(*colours) >= 4.5, (text, ground, suffix)
    assert "http" not in capture_look.style(), "nothing is loaded from elsewhere"


def test_what_is_read_is_what_is_shown(service: Service) -> None:
    key, shown, text, note, *_ = answered(service, LETTER)
    assert key and text and "Read by v2" in note
    assert f"(https://misread.example.com/case?page.record={key})" in note
    with Image.open(LETTER) as given:
        assert shown.tobytes() == given.tobytes()


def test_a_file_that_is_no_image_is_told(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"<script>")
    with pytest.raises(gr.Error, match="cannot be read") as told:
        answered(service, path)
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


def flagged(app: gr.Blocks, *values: Any) -> None:
    """Read through the HTTP API, then press the last button that was made to flag."""
    client = Client(app.local_url, verbose=False)
    flag = next(
        number
        for number, row in reversed(list(enumerate(client.config["dependencies"])))
        if len(row["inputs"]) == len(values)
    )
    client.predict(*values, fn_index=flag)


def test_the_single_button_of_gradio_logs_a_flag(folder_log: Log, tmp_path: Path) -> None:
    app = launched(LogFlags("reader", version="3", writer=Writer(folder_log, tmp_path / "spool")))
    (tmp_path / "picture.png").write_bytes(picture())
    try:
        press(app, tmp_path / "picture.png", times=1)
    finally:
        app.close()
    [logged] = events(folder_log, "predictions/")
    [flag] = events(folder_log, "feedback/")
    assert logged.image and (flag.record_key, flag.flag) == (logged.record_key, "incorrect")


def test_a_button_without_a_value_logs_what_the_app_says(folder_log: Log, tmp_path: Path) -> None:
    writer = Writer(folder_log, tmp_path / "spool")
    text = gr.Textbox()
    for label in ("unclear", None):
        flags = LogFlags("reader", writer=writer, default_flag=label)
        flags.setup([text], "unused")
        flags.flag([f"{label}"])
    assert [row.flag for row in events(folder_log, "feedback/")] == ["unclear"]


def stored(component: Component, size: tuple[int, int]) -> dict[str, Any]:
    """An image as Gradio stores an upload."""
    path = Path(component.GRADIO_CACHE) / f"capture-test-{size[0]}x{size[1]}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(size=size))
    return {"path": f"{path}", "meta": {"_type": "gradio.FileData"}}


INPUTS: dict[str, tuple[Callable[[], Component], Callable[[dict[str, Any]], Any]]] = {
    "image": (gr.Image, lambda file: file),
    "sketchpad": (gr.Sketchpad, lambda file: {"background": None, "layers": [], "composite": file}),
    "editor": (gr.ImageEditor, lambda file: {"background": file, "layers": [], "composite": None}),
    "file": (gr.File, lambda file: file),
    "files": (lambda: gr.File(file_count="multiple"), lambda file: [file, {"path": "/x.png"}]),
    "gallery": (gr.Gallery, lambda file: [{"image": file, "caption": None}]),
    "message": (gr.MultimodalTextbox, lambda file: {"text": "hello", "files": [file]}),
}


@pytest.mark.parametrize("name", INPUTS)
def test_every_component_that_takes_an_image_gives_it(
    folder_log: Log, tmp_path: Path, name: str
) -> None:
    make, value = INPUTS[name]
    source = make()
    flags = LogFlags("reader", writer=Writer(folder_log, tmp_path / "spool"))
    gr.Interface(
        lambda *_: "", [source, gr.Dropdown(["en", "de"])], [gr.Textbox(), gr.Image()],
        flagging_callback=flags, analytics_enabled=False,
    )  # fmt: skip
    drawn = stored(gr.Image(), (33, 16))
    flags.flag([value(stored(source, (21, 16))), "en", "Dear Mum", drawn])
    [logged] = events(folder_log, "predictions/")
    with Image.open(io.BytesIO(folder_log.image(logged.image))) as kept:
        assert kept.size == (21, 16)
    assert logged.output_text == "Dear Mum"


def test_a_drawing_that_gradio_keeps_in_memory_is_logged(folder_log: Log, tmp_path: Path) -> None:
    pad = gr.Sketchpad()
    pad.blob_storage["7"] = EditorDataBlobs(
        background=picture(size=(30, 16)), layers=[], composite=picture(size=(22, 16))
    )
    flags = LogFlags("reader", writer=Writer(folder_log, tmp_path / "spool"))
    gr.Interface(lambda _: "", pad, "text", flagging_callback=flags, analytics_enabled=False)
    flags.flag([{"id": "7", "background": None, "layers": [], "composite": None}, "Mum"])
    [logged] = events(folder_log, "predictions/")
    with Image.open(io.BytesIO(folder_log.image(logged.image))) as kept:
        assert kept.size == (22, 16)


def test_a_file_that_is_not_an_image_is_not_logged_as_one(folder_log: Log, tmp_path: Path) -> None:
    source = gr.File()
    path = Path(source.GRADIO_CACHE) / "capture-test.pdf"
    path.write_bytes(b"%PDF-1.7")
    flags = LogFlags("reader", writer=Writer(folder_log, tmp_path / "spool"))
    gr.Interface(lambda _: "", source, "text", flagging_callback=flags, analytics_enabled=False)
    flags.flag([{"path": f"{path}"}, "Dear Mum"])
    [logged] = events(folder_log, "predictions/")
    assert (logged.image, logged.output_text) == (None, "Dear Mum")


@pytest.mark.parametrize(
    ("output", "expected"), [("Dear Mum", "Dear Mum"), (None, None), ("", None)]
)
def test_an_input_is_never_taken_for_the_output(
    folder_log: Log, tmp_path: Path, output: str | None, expected: str | None
) -> None:
    flags = LogFlags("reader", writer=Writer(folder_log, tmp_path / "spool"))
    app = gr.Interface(
        lambda *_: "", [gr.Image(), gr.Dropdown(["en", "de"]), gr.Textbox()], gr.Textbox(),
        flagging_callback=flags, analytics_enabled=False,
    )  # fmt: skip
    gr.TabbedInterface([app], ["Read"])
    flags.flag([None, "en", "a hint", output], "other")
    [logged] = events(folder_log, "predictions/")
    assert logged.output_text == expected


def blocks(flags: LogFlags, order: slice) -> gr.Blocks:
    """An app that reads with an event of its own; order: of the components it flags."""
    app: gr.Blocks
    with gr.Blocks(analytics_enabled=False) as app:
        text = gr.Textbox(label="Text")
        hint = gr.Textbox(label="Hint")
        gr.Button("Read").click(lambda hint: hint.upper(), hint, text)
        components = [text, hint][order]
        flags.setup(components, "unused")
        gr.Button("Flag").click(
            lambda *values: flags.flag(list(values)) and None, components, None, preprocess=False
        )
    return app


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_in_an_app_of_blocks_the_output_is_what_an_event_computes(
    folder_log: Log, tmp_path: Path, order: slice
) -> None:
    app = blocks(LogFlags("reader", writer=Writer(folder_log, tmp_path / "spool")), order)
    app.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    try:
        flagged(app, *["the text", "the hint"][order])
    finally:
        app.close()
    assert [row.output_text for row in events(folder_log, "predictions/")] == ["the text"]
    assert [row.flag for row in events(folder_log, "feedback/")] == ["incorrect"]


def test_the_output_can_be_named(folder_log: Log, tmp_path: Path) -> None:
    first, second = gr.Textbox(), gr.Textbox()
    flags = LogFlags("reader", writer=Writer(folder_log, tmp_path / "spool"), output=first)
    flags.setup([first, second], "unused")
    flags.flag(["one", "two"])
    assert [row.output_text for row in events(folder_log, "predictions/")] == ["one"]


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
