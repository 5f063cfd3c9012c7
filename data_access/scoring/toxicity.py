"""Detoxify's six scores of texts, by a model that is loaded on first use.

The one home of detoxify and torch; what is scored, and where scores go, is left to `scoring`.
"""

import functools
import hashlib
import importlib
import io
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np

from data_access.errors import ModelError
from data_access.projections.table import TOXICITY

BUNDLED = Path(__file__).parent.parent.parent / "toxicity_model" / "bundled" / "model.ckpt"
PUBLISHED = ("original", "original-small", "unbiased", "unbiased-small", "multilingual")
MAX_CHARACTERS = 20_000  # of a text; no model reads beyond
TOKENS_AT_ONCE = 512  # of a batch, padding included: more of them fall out of the processor's cache
TEXTS_AT_ONCE = 32
TOKENIZED_AT_ONCE = 10_000
READ_AT_FIRST_TOKEN = {  # architectures whose head sees no more of the last layer
    "BertForSequenceClassification",
    "RobertaForSequenceClassification",
    "XLMRobertaForSequenceClassification",
}
INSTALL = "Scoring texts needs detoxify: pip install -r requirements.txt."
INSTEAD = "MISREAD_TOXICITY=bundled uses the model that comes with Misread."


def model_name(setting: str) -> str:
    """The name that a model's scores are kept under: that of a published model, or the file's with
    the beginning of its SHA-256, so that other weights never share a name.

    Raises ModelError where there is no such file.
    """
    if setting in PUBLISHED:
        return setting
    path = _checkpoint_file(setting)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:8]
    except OSError as error:
        raise ModelError(
            f"No model at {path} (MISREAD_TOXICITY): name a checkpoint, bundled, or one "
            f"of {', '.join(PUBLISHED)}."
        ) from error
    stem = "bundled" if setting == "bundled" else path.stem
    plain = "".join(sign if sign.isalnum() or sign in "._-" else "-" for sign in stem)
    return f"{plain}-{digest}"


def _checkpoint_file(setting: str) -> Path:
    if setting == "bundled":
        return BUNDLED
    path = Path(setting).expanduser()
    return path / "model.ckpt" if path.is_dir() else path


class Toxicity:
    """A Detoxify model and its name. Threads may share it, one scoring at a time."""

    def __init__(self, name: str, detoxify: Any) -> None:
        self.name = name
        self.detoxify = detoxify
        self._columns = [detoxify.class_names.index(label) for label in TOXICITY]
        detoxify.model.eval()

    @classmethod
    def load(cls, setting: str) -> "Toxicity":
        """Load `bundled`, a published model by its name, or a checkpoint by its path.

        A checkpoint beside a config.json is loaded without a hub, by that and the tokenizer's
        files there. Only tensors and plain values of a file are ever loaded.
        Raises ModelError, with what to do, where the model is missing or incomplete.
        """
        name = model_name(setting)
        torch = _import("torch")
        checkpoint = _published(setting) if setting in PUBLISHED else _checkpoint_file(setting)
        content = _plain(torch, checkpoint)
        try:
            labels = content["config"]["dataset"]["args"]["classes"]
            architecture = content["config"]["arch"]["args"]
            weights = content["state_dict"]
            names = {architecture["model_name"], architecture["tokenizer_name"], *weights, *labels}
            whole = all(isinstance(name, str) for name in names)
        except (KeyError, TypeError):
            whole = False
        if not whole:
            raise ModelError(f"{checkpoint} is not a Detoxify checkpoint: parts of it are missing.")
        folder = checkpoint.parent if (checkpoint.parent / "config.json").exists() else None
        if folder is not None:
            architecture["model_type"] = str(folder)
        # Detoxify unpickles whatever a file contains: it gets what was checked here, not the file
        checked = io.BytesIO()
        torch.save(content, checked)
        checked.seek(0)
        detoxify = _import("detoxify")
        _import("transformers.utils.logging").disable_progress_bar()  # of weights, on a terminal
        try:
            loaded = detoxify.Detoxify(
                checkpoint=checked,
                huggingface_config_path=None if folder is None else str(folder),
            )
        except (OSError, ValueError, RuntimeError, AttributeError, KeyError, TypeError) as error:
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            place = architecture["model_type"]
            raise ModelError(
                f"{checkpoint} cannot be loaded with the settings and tokenizer of {place}, which "
                f"must be beside it or in Hugging Face's cache (HF_HOME): {reason}"
            ) from error
        _check(loaded, weights, checkpoint)
        return cls(name, loaded)

    def scores(
        self, texts: Sequence[str], done: Callable[[int], object] = lambda count: None
    ) -> np.ndarray:
        """Probabilities, float32 of shape (n, 6) in the order of TOXICITY.

        Within 1e-4 of `Detoxify.predict` of each text, in any batch. An empty text is scored too.
        done: called with how many texts were scored since.
        """
        distinct = list(dict.fromkeys(texts))
        distinct_scores = np.empty((len(distinct), len(TOXICITY)), np.float32)
        repeats = len(texts) - len(distinct)
        for start in range(0, len(distinct), TOKENIZED_AT_ONCE):
            part = distinct[start : start + TOKENIZED_AT_ONCE]
            for numbers, scores in self._batches(part):
                distinct_scores[start + numbers] = scores
                done(len(numbers))
        if repeats:
            done(repeats)
        place = {text: number for number, text in enumerate(distinct)}
        return distinct_scores[[place[text] for text in texts]]

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Numbers of texts and their scores, texts of about one length together."""
        torch = _import("torch")
        tokenizer, model = self.detoxify.tokenizer, self.detoxify.model
        tokenized = tokenizer([_readable(text) for text in texts], truncation=True)
        lengths = np.array([len(row) for row in tokenized["input_ids"]])

        def scored(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            inputs = {
                name: torch.from_numpy(_padded([rows[number] for number in numbers], filler))
                for name, rows in tokenized.items()
                for filler in [tokenizer.pad_token_id if name == "input_ids" else 0]
            }
            with torch.inference_mode():
                logits = model(**inputs)[0]
                return numbers, torch.sigmoid(logits)[:, self._columns].numpy()

        with first_token_alone(model), a_batch_each(torch) as pool:
            yield from pool.map(scored, _alike(lengths))


def _alike(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Numbers of texts by length, longest first, in batches of TOKENS_AT_ONCE at most."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, min(TEXTS_AT_ONCE, TOKENS_AT_ONCE // int(lengths[order[start]])))
        yield order[start : start + count]
        start += count


@contextmanager
def a_batch_each(torch: Any) -> Iterator[ThreadPoolExecutor]:
    """As many threads as torch would use, each to work on a batch by itself.

    So they do not wait for each other, and a score does not depend on how many there are.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


@contextmanager
def first_token_alone(model: Any) -> Iterator[None]:
    """Within it, the last layer computes what comes after its attention for the first token of
    each text: the head reads no other.
    """
    if type(model).__name__ not in READ_AT_FIRST_TOKEN:
        yield
        return
    after_attention = model.base_model.encoder.layer[-1].attention.output
    hook = after_attention.register_forward_pre_hook(
        lambda module, inputs: tuple(rows[:, :1] for rows in inputs)
    )
    try:
        yield
    finally:
        hook.remove()


def _padded(rows: Sequence[Sequence[int]], filler: int) -> np.ndarray:
    """Rows of numbers side by side, int64 of shape (n, longest)."""
    longest = max(map(len, rows))
    return np.array([[*row, *[filler] * (longest - len(row))] for row in rows])


def _readable(text: str) -> str:
    """The beginning of a text, with lone surrogates replaced."""
    return text[:MAX_CHARACTERS].encode(errors="replace").decode()


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ModelError(f"{INSTALL} ({error})") from error


def _published(name: str) -> Path:
    """The file of a published checkpoint in torch's cache, downloaded where it is not there."""
    torch, home = _import("torch"), _import("detoxify.detoxify")
    url = home.MODEL_URLS[name]
    path: Path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.exists():
        digest = path.stem.rpartition("-")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=digest, progress=False)
        except (URLError, OSError, RuntimeError) as error:
            raise ModelError(
                f"The weights of {name} cannot be downloaded ({error}): put {path.name} into "
                f"{path.parent}, or choose another model. {INSTEAD}"
            ) from error
    return path


def _plain(torch: Any, checkpoint: Path) -> Any:
    """The content of a checkpoint: tensors and plain values only."""
    try:
        return torch.load(checkpoint, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"No model at {checkpoint}. {INSTEAD}") from error
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{checkpoint} is not a checkpoint: it contains more than weights and was not executed."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(
            f"{checkpoint} is incomplete or damaged; copy or download it again."
        ) from error


def _check(loaded: Any, weights: dict[str, Any], checkpoint: Path) -> None:
    """Weights that a checkpoint lacks would be random, and so would the scores."""
    missing = [name for name in loaded.model.state_dict() if name not in weights]
    if missing:
        raise ModelError(
            f"{checkpoint} is incomplete: {len(missing):,} weights are missing, "
            f"such as {missing[0]}. Copy or download it again."
        )
    unknown = [label for label in TOXICITY if label not in loaded.class_names]
    if unknown:
        raise ModelError(f"{checkpoint} has no score for {', '.join(unknown)}.")


_loaded = functools.cache(Toxicity.load)


def answer_texts(
    progress: Callable[..., None], setting: str, texts: Sequence[str]
) -> dict[str, Any]:
    """What a worker answers: the name of the model, which it loads once, and its scores of texts,
    of shape (n, 6). Raises ModelError.
    """
    model = _loaded(setting)
    return {"model": model.name, "scores": model.scores(texts).tolist()}
