"""A tiny model in Detoxify's format, with random weights: real code, no meaning."""

import json
import string
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from data_access.projections.table import TOXICITY

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CLASSES = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")


def write_checkpoint(folder: Path, seed: int = 1, most_tokens: int = 64) -> Path:
    """model.ckpt, config.json and the tokenizer's files; returns the first."""
    folder.mkdir(parents=True, exist_ok=True)
    signs = string.ascii_lowercase + string.digits + string.punctuation
    vocabulary = [*SPECIAL, *signs, *(f"##{sign}" for sign in signs), "the", "shit", "##ing"]
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in vocabulary))
    tokenizer = BertTokenizer(vocab=str(folder / "vocab.txt"), model_max_length=most_tokens)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=most_tokens,
        initializer_range=0.5,
    )
    config.num_labels = len(TOXICITY)
    model = BertForSequenceClassification(config)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    architecture = {
        "model_type": "bert",
        "model_name": "BertForSequenceClassification",
        "tokenizer_name": "BertTokenizer",
        "num_classes": len(TOXICITY),
    }
    torch.save(
        {
            "config": {
                "dataset": {"args": {"classes": list(CLASSES)}},
                "arch": {"args": architecture},
            },
            "state_dict": model.state_dict(),
        },
        folder / "model.ckpt",
    )
    return folder / "model.ckpt"
