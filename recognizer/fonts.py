"""Which fonts the recognizer learns from, which it never sees, and where they come from.

    python -m recognizer.fonts FOLDER [--add OTHER_FOLDER]

installs the packages named here with npm and apt (nothing system-wide: Debian packages are only
unpacked) and sorts their fonts into FOLDER/{handwriting,print,typewriter}. Fonts are not committed.
"""

import argparse
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from PIL import Image, ImageChops, ImageDraw, ImageFont

Kind = Literal["handwriting", "print", "typewriter"]

# families for the held-out measure: never rendered for training, whatever package they come from
HELD_OUT: dict[str, Kind] = {
    "architectsdaughter": "handwriting",
    "cedarvillecursive": "handwriting",
    "dancingscript": "handwriting",
    "homemadeapple": "handwriting",
    "indieflower": "handwriting",
    "patrickhand": "handwriting",
    "lato": "print",
    "librebaskerville": "print",
    "librecaslontext": "print",
    "typoscript": "print",
    "courierprime": "typewriter",
}

# joined hands with pen strokes: nearest to how people wrote letters
CURSIVE = frozenset(
    """
    alexbrush allison allura badscript birthstone condiment cookie corinthia damion ecoliercourt
    ephesis freehand greatvibes herrvonmuellerhoff hurricane italian kristi labelleaurore licorice
    marckscript meowscript monsieurladoulaise montecarlo mrdehaviland msmadi ooohbaby parisienne
    pinyonscript rochester sacramento satisfy smooch tangerine whisper yellowtail z003
    """.split()  # noqa: SIM905
)

FONTSOURCE: dict[Kind, str] = {
    "handwriting": """
        birthstone cedarville-cursive comic-relief condiment corinthia ephesis freehand
        gloria-hallelujah grandstander great-vibes handlee herr-von-muellerhoff italianno itim kalam
        liu-jian-mao-cao long-cang monsieur-la-doulaise montecarlo ms-madi nanum-brush-script
        nanum-pen-script nova-script pacifico parisienne patrick-hand pinyon-script reenie-beanie
        rochester sacramento smooch tangerine the-girl-next-door twinkle-star whisper yellowtail
        yomogi zhi-mang-xing
        alex-brush allura amatic-sc annie-use-your-telescope architects-daughter bad-script
        balsamiq-sans caveat caveat-brush chilanka comic-neue cookie courgette
        covered-by-your-grace damion dancing-script delicious-handrawn delius finger-paint gaegu
        gochi-hand homemade-apple indie-flower kaushan-script licorice mansalva marck-script
        mr-de-haviland neucha oooh-baby permanent-marker playpen-sans poor-story rock-salt satisfy
        schoolbell shadows-into-light shantell-sans short-stack sriracha sue-ellen-francisco
        swanky-and-moo-moo vibur zen-kurenaido
    """,
    "print": """
        abril-fatface anton archivo-narrow arimo arvo barlow-condensed bebas-neue berkshire-swash
        bodoni-moda cardo cinzel cormorant-garamond cormorant-sc crimson-text dm-serif-text
        eb-garamond fjalla-one gelasio gentium-plus gfs-didot ibm-plex-serif im-fell-english
        im-fell-english-sc inter josefin-sans lato league-gothic league-spartan libre-baskerville
        libre-caslon-condensed libre-caslon-text marcellus merriweather montserrat newsreader
        nunito old-standard-tt open-sans oswald playfair playfair-display poppins prata pt-serif
        quattrocento raleway redaction-10 roboto roboto-slab rokkitt rufina sorts-mill-goudy
        source-serif-4 spectral stix-two-text tinos unifrakturcook unifrakturmaguntia unna volkhov
        vollkorn zilla-slab
    """,
    "typewriter": "anonymous-pro courier-prime cousine ibm-plex-mono pt-mono special-elite",
}

EXPO: dict[Kind, str] = {
    "handwriting": "allison hurricane la-belle-aurore meow-script",
    "print": "",
    "typewriter": "",
}

DEBIAN: dict[Kind, str] = {
    "handwriting": """
        fonts-breip fonts-bwht fonts-dkg-handwriting fonts-ecolier-court fonts-femkeklaver
        fonts-havana fonts-humor-sans fonts-kristi fonts-rufscript fonts-sjfonts fonts-tomsontalks
    """,
    "print": """
        fonts-century-catalogue fonts-dustin fonts-essays1743 fonts-goudybookletter fonts-isabella
        fonts-levien-typoscript fonts-linuxlibertine fonts-lmodern fonts-okolaks fonts-oldstandard
        fonts-prociono fonts-tuffy fonts-urw-base35 fonts-adf-baskervald fonts-adf-romande
        fonts-adf-gillius fonts-johnsmith-induni fonts-gfs-bodoni-classic fonts-routed-gothic
        fonts-averia-serif-gwf fonts-levien-museum
    """,
    "typewriter": """
        fonts-compagnon fonts-gnutypewriter fonts-freefont-ttf
        fonts-tlwg-typewriter-ttf fonts-tlwg-typist-ttf fonts-tlwg-typo-ttf
    """,
}

# files of those packages that are another kind than their neighbours, or no text
ANOTHER_KIND: dict[str, Kind] = {
    "NimbusMonoPS": "typewriter",
    "FreeSans": "print",
    "FreeSerif": "print",
    "lmmono": "typewriter",
    "Z003": "handwriting",
    "texgyrecursor": "typewriter",
}
UNFIT = re.compile(
    r"symbol|dingbat|D050000L|math|ornament|initials|italic-?sc|LM.*Demi|ecolier_l|"
    r"lmmono.*(lt|light)|dunh|LinBiolinum_K|LinLibertine_[IM]",
    re.I,
)


# small letters of these look like capitals, and the pictures of the pairs differ all the same
UNICASE = ("rocksalt", "permanentmarker", "amaticsc", "becausewe")
STYLES = re.compile(
    r"(\d+|(ultra|extra|semi|demi|half)?(bold|light|thin|medium|italic|oblique|roman|regular|heavy"
    r"|book|cond|narrow|wide|caps|slant|unsl)|bdita|bd|bi|it|rb|rz|ri|std|font|quot)$"
)


@dataclass(frozen=True)
class Face:
    """A font file, the family it belongs to, and whether its small letters look like capitals."""

    path: Path
    family: str
    kind: Kind
    unicase: bool


def family(path: Path) -> str:
    """A name that two packages of one family share: dancing-script-latin-400 -> dancingscript."""
    stem = re.split(r"-latin|[-_]?\d{3}Regular|[-_](?=Regular|Bold|Italic|Oblique)", path.stem)[0]
    name = re.sub(r"[^a-z0-9]", "", stem.lower())
    while len(shorter := STYLES.sub("", name)) >= 4 and shorter != name:
        name = shorter
    return name


def is_held_out(name: str) -> bool:
    return any(name.startswith(family) for family in HELD_OUT)


def faces(folder: Path) -> list[Face]:
    """All usable fonts of a folder with the three kinds in it, in a fixed order."""
    return [
        Face(path, family(path), kind, _unicase(path))
        for kind in get_args(Kind)
        for path in sorted((folder / kind).glob("*"))
    ]


def _glyph(font: ImageFont.FreeTypeFont, text: str) -> Image.Image:
    """One drawn character, cropped to its ink and scaled to 24 x 24."""
    box = font.getbbox(text)
    image = Image.new("L", (max(1, int(box[2] - box[0])), max(1, int(box[3] - box[1]))))
    ImageDraw.Draw(image).text((-box[0], -box[1]), text, font=font, fill=255)
    return image.resize((24, 24))


def _unicase(path: Path) -> bool:
    if family(path).startswith(UNICASE):
        return True
    font = ImageFont.truetype(str(path), 48)
    letters = "aergt"
    differences = [ImageChops.difference(_glyph(font, a), _glyph(font, a.upper())) for a in letters]
    means = [sum(image.getdata()) / 576 for image in differences]
    return sorted(means)[2] < 45


def usable(path: Path) -> bool:
    """Whether it opens and draws every letter, digit and common sign as a shape of its own."""
    try:
        font = ImageFont.truetype(str(path), 24)
        missing = bytes(font.getmask("\uffff"))
        needed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?'\"()-&"
        drawn = [bytes(font.getmask(character)) for character in needed]
    except (OSError, ValueError):
        return False
    return all(any(mask) and mask != missing for mask in drawn)


def _found(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        named = re.search(r"\.(ttf|otf|t1|woff2)$", path.name, re.I)
        if named and not path.is_symlink() and not UNFIT.search(path.stem):
            yield path


def _install(kind: Kind, target: Path, work: Path) -> None:
    names = [f"@fontsource/{name}" for name in FONTSOURCE[kind].split()]
    names += [f"@expo-google-fonts/{name}" for name in EXPO[kind].split()]
    npm = work / "npm" / kind
    npm.mkdir(parents=True)
    subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", npm, *names],
        check=True,
    )
    for path in _found(npm):
        weight = re.search(r"-latin-(\d+)-(normal|italic)\.woff2$", path.name)
        if (weight and weight[1] in ("400", "700")) or path.name.endswith("400Regular.ttf"):
            _keep(path, kind, target)
    debian = work / "apt" / kind
    debian.mkdir(parents=True)
    subprocess.run(["apt-get", "download", *DEBIAN[kind].split()], cwd=debian, check=True)
    for package in sorted(debian.glob("*.deb")):
        subprocess.run(["dpkg", "-x", package, debian / package.stem], check=True)
    for path in _found(debian):
        _keep(path, kind, target)


def _keep(path: Path, kind: Kind, target: Path) -> None:
    actual = next((other for mark, other in ANOTHER_KIND.items() if mark in path.name), kind)
    (target / actual).mkdir(parents=True, exist_ok=True)
    if usable(path):
        shutil.copyfile(path, target / actual / path.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--add", type=Path, help="another folder sorted by kind")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        for kind in get_args(Kind):
            _install(kind, arguments.folder, Path(work))
    for kind in get_args(Kind) if arguments.add else ():
        for path in _found(arguments.add / kind):
            _keep(path, kind, arguments.folder)
    for kind in get_args(Kind):
        print(f"{len(list((arguments.folder / kind).iterdir())):4d} {kind}")


if __name__ == "__main__":
    main()
