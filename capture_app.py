"""A Gradio app to try the recognizer: a picture in, its text out, and three buttons to flag it.

`python capture_app.py` logs every answer and flag to MISREAD_LOG (see `serving.Service`). Another
Gradio app logs to it in one line, with `flagging_callback=capture_app.LogFlags("its name")`.
"""

import functools
import hashlib
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from gradio.components import Component
from PIL import Image

import capture_look
from data_access import api
from data_access.demo import answers
from data_access.errors import LogError, MisreadError
from data_access.images import UnreadableImageError, on_white, open_image
from data_access.log import MAX_IMAGE_BYTES
from data_access.log.stores import bypass_proxies_on_loopback
from data_access.progress import tolerate_any_encoding
from data_access.records import Feedback, Prediction
from data_access.settings import LaunchSettings, public_url
from data_access.writer import Writer
from serving import ENVIRONMENT, Service

EXAMPLES = Path(__file__).parent / "sample" / "examples"
FLAGS = ("incorrect", "offensive", "other")
SHEETS = {"Paper": ("#202020", "#f4f1e8"), "Blackboard": ("#f0f0f0", "#1d2522")}  # ink and ground
CANVAS = (760, 320)
READ = "Read the text"
TEXT_COMPONENTS = (gr.Textbox, gr.Markdown, gr.HTML, gr.Code, gr.Label)
IMAGE_COMPONENTS = (gr.Image, gr.ImageEditor, gr.File, gr.Gallery, gr.MultimodalTextbox)
TITLE = "Read a picture of text"
INTRODUCTION = f"""# {TITLE}
Pictures and readings are logged, flagged readings are reviewed."""
MODELS = {"v1": "older, fails on dark ink", "v2": "reads dark and light ink"}


def main() -> int:
    """Returns the exit code: 2 where the app could not start."""
    tolerate_any_encoding()
    bypass_proxies_on_loopback()  # Gradio asks its own server whether it is up
    try:
        settings = LaunchSettings.from_environment()
        service = Service.from_environment(seconds=5.0)
    except (MisreadError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    dashboard = functools.partial(_dashboard, settings.port)
    try:
        build(service, dashboard).launch(
            server_name=settings.capture_host,
            server_port=settings.capture_port,
            theme=capture_look.theme(),
            css=capture_look.style(),
            favicon_path=capture_look.MARK,
            footer_links=[],
            max_file_size=MAX_IMAGE_BYTES,
            quiet=True,
        )
    except OSError as error:  # the port is taken
        print(f"{error} (MISREAD_CAPTURE_PORT chooses another port.)", file=sys.stderr)
        return 2
    finally:
        service.close()
    return 0


def _dashboard(port: int) -> str:
    """Where the dashboard is: at MISREAD_URL, or on this machine while it runs; else empty."""
    local = f"http://127.0.0.1:{port}"
    return public_url() or (local if answers(f"{local}/_stcore/health") else "")


def build(service: Service, dashboard: Callable[[], str] = str) -> gr.Blocks:
    """The page; nothing is served yet. dashboard: its address now, empty where there is none."""
    services = functools.cache(service.reading_with)
    app: gr.Blocks
    with gr.Blocks(title=TITLE, analytics_enabled=False) as app:
        gr.HTML(capture_look.head())
        gr.Markdown(INTRODUCTION)
        record_key = gr.State(None)
        with gr.Row():
            with gr.Column():
                model = gr.Radio(_models(service.version), value=service.version, label="Model")
                with gr.Tab("Picture"):
                    picture = gr.Image(
                        type="filepath",
                        sources=["upload", "webcam", "clipboard"],
                        show_label=False,
                        height=CANVAS[1],
                    )
                    reading: list[tuple[gr.Button, Callable[[Any], bytes], Component]] = [
                        (gr.Button(READ, variant="primary"), _read_picture, picture)
                    ]
                    if EXAMPLES.is_dir():
                        gr.Examples([f"{path}" for path in sorted(EXAMPLES.iterdir())], picture)
                for name, (ink, ground) in SHEETS.items():
                    with gr.Tab(name):
                        drawing = _sketchpad(ink, ground)
                        button = gr.Button(READ, variant="primary")
                        reading.append((button, functools.partial(_read_drawing, ground), drawing))
            with gr.Column():
                given = gr.Image(
                    label="What the recognizer was given",
                    format="png",
                    interactive=False,
                    height=CANVAS[1] // 2,
                    buttons=[],
                )
                text = gr.Textbox(
                    label="What it read", lines=4, interactive=False, elem_classes="misread-read"
                )
                note = gr.Markdown()
                with gr.Group():
                    correction = gr.Textbox(label="What it should say (optional)", lines=2)
                    comment = gr.Textbox(label="Comment (optional)")
                with gr.Row():
                    buttons = [gr.Button(f"Flag as {flag}", interactive=False) for flag in FLAGS]

        answer = [record_key, given, text, note, correction, comment, *buttons]
        for button, read, source in reading:
            button.click(
                functools.partial(_answer, services, dashboard, read), [model, source], answer
            )
        for flag, button in zip(FLAGS, buttons, strict=True):
            button.click(
                functools.partial(_flag, service, flag),
                [record_key, correction, comment],
                [note, button],
            )
    return app


def _sketchpad(ink: str, ground: str) -> gr.Sketchpad:
    sheet: Any = {
        "background": Image.new("RGB", CANVAS, ground), "layers": [], "composite": None
    }  # fmt: skip
    return gr.Sketchpad(
        sheet,
        type="pil",
        show_label=False,
        brush=gr.Brush(default_size=4, colors=[ink], default_color=ink, color_mode="fixed"),
        layers=False,
        canvas_size=CANVAS,
        fixed_canvas=True,
    )


def _read_picture(path: str | None) -> bytes:
    if path is None:
        raise gr.Error("Choose a picture first.", print_exception=False)
    return Path(path).read_bytes()


def _read_drawing(ground: str, drawn: dict[str, Any] | None) -> bytes:
    composite = drawn and drawn["composite"]
    if not composite:
        raise gr.Error("Write something first.", print_exception=False)
    sheet = Image.new("RGBA", composite.size, ground)
    body = io.BytesIO()
    Image.alpha_composite(sheet, composite.convert("RGBA")).convert("L").save(body, "PNG")
    return body.getvalue()


def _models(version: str) -> list[tuple[str, str]]:
    """Labels and names of the models to choose from; the one that is served comes first."""
    names = [version, *(name for name in MODELS if name != version)]
    return [(f"{name}: {MODELS[name]}" if name in MODELS else name, name) for name in names]


def _answer(
    services: Callable[[str], Service],
    dashboard: Callable[[], str],
    read: Callable[[Any], bytes],
    model: str,
    source: Any,
) -> list[Any]:
    """Values for the whole right-hand side; the picture that is read is the one that is shown."""
    body = read(source)
    service = services(model)
    try:
        served = service.read(body, "capture")
    except UnreadableImageError as error:
        raise gr.Error(f"This cannot be read: {error}.", print_exception=False) from error
    notes = [f"Read by {service.version} in {served.seconds * 1000:,.0f} ms"]
    if served.confidence is not None:
        notes.append(f"confidence {served.confidence:.0%}")
    link = ""
    if served.record_key is None:
        notes.append("it could not be logged, so it cannot be flagged")
    elif address := dashboard():
        record = f"{address}/case?{urlencode({'page.record': served.record_key})}"
        link = f" [Open the record in the dashboard]({record}) (there after its next sync)."
    flags = [
        gr.Button(f"Flag as {flag}", interactive=served.record_key is not None) for flag in FLAGS
    ]
    shown = on_white(open_image(body))
    return [served.record_key, shown, served.text, ", ".join(notes) + "." + link, "", "", *flags]


def _flag(service: Service, flag: str, record_key: str, correction: str, comment: str) -> list[Any]:
    try:
        service.flag(record_key, flag, correction.strip(), comment.strip())
    except (LogError, ValueError) as error:
        raise gr.Error(f"The flag could not be kept: {error}", print_exception=False) from error
    return [f"Flagged as {flag}. Thank you.", gr.Button(f"Flagged as {flag}", interactive=False)]


class LogFlags(gr.FlaggingCallback):
    """Logs what users of any Gradio app flag: its first image input, its first text output, the
    flag.

    A drawing is logged as its composite, and of a gallery or several files the first image. With
    `flagging_mode="auto"` it logs every answer. Answers that are alike on one day are one record,
    so that two flags of one answer meet.
    """

    def __init__(
        self,
        application: str,
        version: str | None = None,
        environment: str = ENVIRONMENT,
        writer: Writer | None = None,
        default_flag: str | None = "incorrect",
        output: Component | None = None,
    ) -> None:
        """writer: by default one that writes to MISREAD_LOG. default_flag: of a button without a
        value, such as Gradio's single "Flag"; None logs no flag. output: the component that holds
        the text; by default the first output that can.
        """
        self._labels: dict[str, Any] = {
            "application": application, "version": version, "environment": environment
        }  # fmt: skip
        self._writer = writer
        self._default_flag = default_flag
        self._output = output
        self._flagged = 0

    def setup(self, components: Sequence[Component], flagging_dir: str) -> None:
        """Raises SettingsError or LogError where there is no log to write to."""
        self._components = components
        if self._writer is None:
            self._writer = api.open_writer(seconds=5.0)

    def flag(
        self, flag_data: list[Any], flag_option: str | None = None, username: str | None = None
    ) -> int:
        """Returns how many were flagged since the start. Raises LogError where neither the log
        nor the spool takes it."""
        assert self._writer is not None
        now = datetime.now(UTC)
        interface = _interface(self._components)
        if not flag_option and (interface is None or interface.flagging_mode != "auto"):
            flag_option = self._default_flag
        inputs, outputs = _roles(self._components, interface)
        text_output = self._output or next(
            (row for row in outputs if isinstance(row, TEXT_COMPONENTS)), None
        )
        values = list(zip(self._components, flag_data, strict=False))
        images = (_image(row, value) for row, value in values if row in inputs)
        image = next((body for body in images if body is not None), None)
        text = next((_text(value) for row, value in values if row is text_output), None)
        if image is None:  # a click before there was an image flags nothing that was read
            text = text or None
        parts = (*self._labels.values(), now.date(), text, hashlib.sha256(image or b"").hexdigest())
        key = hashlib.sha256(repr(parts).encode(errors="surrogatepass")).hexdigest()[:32]
        self._writer.write_prediction(
            Prediction(record_key=key, timestamp=now, output_text=text, **self._labels), image
        )
        if flag_option:
            digest = hashlib.sha256(f"{key} {flag_option} {username} {now}".encode()).hexdigest()
            self._writer.write_feedback(
                Feedback(
                    feedback_key=digest[:32],
                    record_key=key,
                    timestamp=now,
                    flag=flag_option,
                    user=username,
                )
            )
        self._flagged += 1
        return self._flagged


def _interface(components: Sequence[Component]) -> gr.Interface | None:
    """The interface that the components are of; None in an app built from blocks."""
    block: Any = next(iter(components), None)
    while block is not None:
        if isinstance(block, gr.Interface):
            return block
        block = block.parent
    return None


def _roles(
    components: Sequence[Component], interface: gr.Interface | None
) -> tuple[list[Component], list[Component]]:
    """Inputs and outputs. In an app built from blocks, an output is what an event computes from
    another of the components; where there is none, the last that can hold a text."""
    if interface is not None:
        inputs = [row for row in components if row in (interface.input_components or ())]
        outputs = [row for row in components if row in (interface.output_components or ())]
        return inputs, outputs
    outputs = _computed(components)
    if not outputs:
        texts: list[Component] = [row for row in components if isinstance(row, TEXT_COMPONENTS)]
        outputs = texts[-1:]
    return [row for row in components if row not in outputs], outputs


def _computed(components: Sequence[Component]) -> list[Component]:
    root: Any = next(iter(components), None)
    while root is not None and root.parent is not None:
        root = root.parent
    computed: list[Any] = []
    for event in root.fns.values() if isinstance(root, gr.Blocks) else ():
        if any(row in event.inputs for row in components):
            computed += [row for row in event.outputs if row not in event.inputs]
    return [row for row in components if row in computed]


def _text(value: Any) -> str | None:
    """The text of an output; of a Label its most probable label."""
    if isinstance(value, dict):
        value = value.get("label")
    return None if value is None else str(value)


def _image(component: Component, value: Any) -> bytes | None:
    """Bytes of the first image in the value of a component."""
    if isinstance(component, gr.ImageEditor) and isinstance(value, dict):  # Sketchpad, Paint, …
        drawing = component.blob_storage.get(value.get("id") or "")
        if drawing is not None:
            return drawing.composite or drawing.background
    if not isinstance(component, IMAGE_COMPONENTS):
        return None
    for path in _paths(value):
        body = _stored(component, path)
        if body is not None and (isinstance(component, gr.Image) or _is_image(body)):
            return body
    return None


def _paths(value: Any) -> Iterator[str]:
    """Paths in a value: of a drawing its composite comes first."""
    if isinstance(value, list | tuple):
        for part in value:
            yield from _paths(part)
    elif isinstance(value, dict):
        if isinstance(value.get("path"), str):
            yield value["path"]
        for name in ("composite", "background", "image", "files"):
            yield from _paths(value.get(name))


def _stored(component: Component, name: str) -> bytes | None:
    """Bytes of a file that Gradio itself has stored, and of no other."""
    path = Path(name).resolve()
    inside = path.is_relative_to(Path(component.GRADIO_CACHE).resolve())
    return path.read_bytes() if inside and path.is_file() else None


def _is_image(body: bytes) -> bool:
    try:
        open_image(body)
    except UnreadableImageError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
