"""How the capture app looks: as the dashboard does, by the same settings, fonts and mark."""

import base64
import tomllib
from pathlib import Path
from typing import Any

import gradio as gr

HERE = Path(__file__).parent
SETTINGS = HERE / ".streamlit" / "config.toml"
STATIC = HERE / "static"
MARK = STATIC / "mark.svg"
FONTS = (
    ("Plex Sans", "plex-sans-latin.woff2", "100 700"),
    ("Source Serif", "source-serif-latin.woff2", "200 900"),
)


def theme() -> gr.themes.Base:
    """Gradio's plainest theme in the dashboard's colours and type."""
    settings = _settings()
    variables: dict[str, Any] = {"body_text_size": f"{settings['baseFontSize']}px"}
    for scheme, suffix in (("light", ""), ("dark", "_dark")):
        variables |= {f"{name}{suffix}": colour for name, colour in _colours(settings[scheme])}
    return gr.themes.Base(
        radius_size=gr.themes.sizes.radius_md,
        font=["Plex Sans", "Segoe UI", "sans-serif"],
        font_mono=["Consolas", "monospace"],
    ).set(**variables)


def _settings() -> dict[str, Any]:
    """The dashboard's `[theme]`."""
    settings: dict[str, Any] = tomllib.loads(SETTINGS.read_text())["theme"]
    return settings


def _colours(colours: dict[str, Any]) -> list[tuple[str, str]]:
    """Gradio's variables and their colours, of one scheme."""
    accent = colours["primaryColor"]
    groups = (
        (
            colours["backgroundColor"],
            ("body_background_fill", "background_fill_primary", "input_background_fill"),
        ),
        (
            colours["secondaryBackgroundColor"],
            (
                "background_fill_secondary", "block_background_fill", "panel_background_fill",
                "block_label_background_fill", "button_secondary_background_fill",
            ),
        ),
        (
            colours["textColor"],
            (
                "body_text_color", "body_text_color_subdued", "block_label_text_color",
                "block_title_text_color", "block_info_text_color", "button_secondary_text_color",
                "checkbox_label_text_color",
            ),
        ),
        (
            colours["borderColor"],
            (
                "border_color_primary", "block_border_color", "input_border_color",
                "button_secondary_border_color", "button_secondary_background_fill_hover",
            ),
        ),
        (
            accent,
            (
                "button_primary_background_fill", "button_primary_background_fill_hover",
                "button_primary_border_color", "input_border_color_focus",
                "checkbox_background_color_selected", "border_color_accent", "slider_color",
            ),
        ),
        (_on(accent), ("button_primary_text_color",)),
        (
            colours["linkColor"],
            (
                "link_text_color", "link_text_color_hover", "link_text_color_visited",
                "link_text_color_active",
            ),
        ),
    )  # fmt: skip
    return [(name, colour) for colour, names in groups for name in names]


def _on(accent: str) -> str:
    """White or ink, whichever is read more easily on this colour."""
    red, green, blue = (int(accent[place : place + 2], 16) for place in (1, 3, 5))
    return "#10131a" if 0.3 * red + 0.59 * green + 0.11 * blue > 140 else "#ffffff"


def style() -> str:
    """CSS of what themes do not reach: the fonts, the mark's place, the accent of tabs."""
    settings = _settings()
    faces = "".join(_face(family, name, weights) for family, name, weights in FONTS)
    return f"""{faces}
.gradio-container {{ --color-accent: {settings["light"]["primaryColor"]}; }}
.dark .gradio-container {{ --color-accent: {settings["dark"]["primaryColor"]}; }}
.misread-head {{ display: flex; align-items: center; gap: .6rem; font-weight: 600; }}
.misread-head svg {{ width: 2rem; height: 2rem; }}
.misread-read textarea {{ font-family: "Source Serif", Georgia, serif; font-size: 1.1rem;
  line-height: 1.45; }}
"""


def _face(family: str, name: str, weights: str) -> str:
    """A font of the dashboard's, within the page: Gradio serves no files of others by name."""
    encoded = base64.b64encode((STATIC / name).read_bytes()).decode()
    return (
        f'@font-face {{ font-family: "{family}"; font-weight: {weights}; '
        f'src: url(data:font/woff2;base64,{encoded}) format("woff2"); }}\n'
    )


def head() -> str:
    """HTML of the mark and the name."""
    return f'<div class="misread-head">{MARK.read_text()}<span>Misread</span></div>'
