"""ExampleSelector: few-shot examples chosen for each query, and no more than are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from langchain_core.example_selectors import BaseExampleSelector
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig, run_in_executor

from frugal_core.adapt.examples import CountTokens, ExamplePool
from frugal_core.adapt.rows import Example
from frugal_core.adapt.shots import SIZES, FittedShots, Shot, fit_shots
from frugal_core.cascade import Failure, Reply
from frugal_core.certifying import Promise
from frugal_core.errors import FrugalError
from frugal_core.grading import Grader
from langchain_frugal._requests import Request, aask_all, adrive, ask_all, drive

Chain = Runnable[Any, Any] | Callable[["ExampleSelector"], Runnable[Any, Any]]
"""A chat model, or what makes your chain with a selector in its prompt."""


class ExampleSelector(BaseExampleSelector):
    """Chooses the examples that help with this query, within a number or a token budget.

    Takes the place of LangChain's own selectors in `FewShotChatMessagePromptTemplate` and
    `FewShotPromptTemplate`. It needs no embeddings and no vector store.

    Args:
        examples: Mappings, as the prompt uses them; also a recording, or pairs (question, answer),
            which become {"input": ..., "output": ...}.
        k, token_budget, diversity, balance, count_tokens, input_key, output_key: See
            `frugal_core.adapt.ExamplePool`.
        embeddings: LangChain's `Embeddings`, or whatever embeds, to be weighed as much as TF-IDF.

    Attributes:
        fitted: Made by `fit`: the number of examples, what was measured, the certificate.

    Raises:
        FrugalError: for an example or a setting that makes no sense.

    Example:
        >>> rows = [{"input": "gold up", "output": "+"}, {"input": "oil falls", "output": "-"}]
        >>> ExampleSelector(rows, k=1).select_examples({"input": "silver up"})
        [{'input': 'gold up', 'output': '+'}]
    """

    fitted: FittedShots | None = None

    def __init__(
        self,
        examples: Iterable[Any] = (),
        *,
        k: int | None = 4,
        token_budget: int | None = None,
        diversity: float = 0.0,
        balance: bool = False,
        embeddings: Any = None,
        count_tokens: CountTokens | None = None,
        input_key: str | None = None,
        output_key: str | None = None,
    ) -> None:
        self.pool = ExamplePool(
            examples,
            k=k,
            token_budget=token_budget,
            diversity=diversity,
            balance=balance,
            embedder=embeddings,
            count_tokens=count_tokens,
            input_key=input_key,
            output_key=output_key,
        )

    @property
    def examples(self) -> list[dict[str, Any]]:
        """All examples."""
        return [_fields(example) for example in self.pool.examples]

    @property
    def k(self) -> int | None:
        """Most examples that are selected."""
        return self.pool.k

    def add_example(self, example: dict[str, str]) -> None:
        """Add an example; the next selection knows it."""
        self.pool.add(example)

    async def aadd_example(self, example: dict[str, str]) -> None:
        """As `add_example`: it takes no time that would be worth a thread."""
        self.pool.add(example)

    def select_examples(self, input_variables: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The examples for a query, the most similar one last.

        Args:
            input_variables: The prompt's. The question is the one that is called as in the
                examples; where there is none, all their text.
        """
        selected = self.pool.select(self._question(input_variables))
        return [_fields(example) for example in selected]

    async def aselect_examples(self, input_variables: Mapping[str, Any]) -> list[dict[str, Any]]:
        """As `select_examples`, in a thread: words of many examples may have to be learned."""
        return await run_in_executor(None, self.select_examples, input_variables)

    def _question(self, variables: Mapping[str, Any] | str) -> str:
        if isinstance(variables, str):
            return variables
        if not isinstance(variables, Mapping):
            raise FrugalError(
                f"select_examples takes the prompt's variables, such as "
                f"{{'input': ...}}, not a {type(variables).__name__}"
            )
        for example in self.pool.examples[:1]:
            names = [name for name, value in example.fields.items() if str(value) == example.text]
            for name in [self.pool.input_key, *names]:
                if name is not None and isinstance(variables.get(name), str):
                    return str(variables[name])
        return "\n".join(value for value in variables.values() if isinstance(value, str))

    @classmethod
    def fit(
        cls,
        examples: Iterable[Any],
        chain: Chain | None = None,
        *,
        sizes: Sequence[int] = SIZES,
        held_out: float = 0.3,
        promise: Promise | float | None = None,
        grader: Grader = "normalised",
        seed: int = 0,
        config: RunnableConfig | None = None,
        **settings: Any,
    ) -> ExampleSelector:
        """A selector of the fewest examples that keep the accuracy on held-out rows.

        Args:
            examples: With answers; also a recording with gold answers.
            chain: What is to answer: a chat model, which is shown examples as turns, or a function
                that makes your chain with a selector, `lambda selector: prompt(selector) | llm`. It
                is asked at most 200 held-out questions for each size. Without it the examples'
                own answers vote, which costs nothing and knows nothing of a model.
            sizes: Numbers of examples to try.
            held_out, promise, grader, seed: See `frugal_core.adapt.shots.fit_shots`.
            config: For the calls of the chain; at most 8 at once unless it says otherwise.
            settings: See the class.

        Returns:
            A selector that shows the number found, from all the examples; `fitted` says why.

        Raises:
            FrugalError: see `fit_shots`.

        Example:
            >>> selector = ExampleSelector.fit(rows, llm)  # doctest: +SKIP
            >>> print(selector.fitted.verdict)  # doctest: +SKIP
        """
        selector, loop = cls._fitting(
            examples, chain, sizes, held_out, promise, grader, seed, settings
        )
        runs: RunnableConfig = {"max_concurrency": 8, **(config or {})}

        def answer(shots: list[Shot]) -> list[Reply | Failure]:
            return ask_all([_request(chain, shot) for shot in shots], runs)

        return selector._fitted(drive(loop, answer))

    @classmethod
    async def afit(
        cls,
        examples: Iterable[Any],
        chain: Chain | None = None,
        *,
        sizes: Sequence[int] = SIZES,
        held_out: float = 0.3,
        promise: Promise | float | None = None,
        grader: Grader = "normalised",
        seed: int = 0,
        config: RunnableConfig | None = None,
        **settings: Any,
    ) -> ExampleSelector:
        """As `fit`, asynchronously."""
        selector, loop = cls._fitting(
            examples, chain, sizes, held_out, promise, grader, seed, settings
        )
        runs: RunnableConfig = {"max_concurrency": 8, **(config or {})}

        async def answer(shots: list[Shot]) -> list[Reply | Failure]:
            return await aask_all([_request(chain, shot) for shot in shots], runs)

        return selector._fitted(await adrive(loop, answer))

    @classmethod
    def _fitting(
        cls,
        examples: Iterable[Any],
        chain: Chain | None,
        sizes: Sequence[int],
        held_out: float,
        promise: Promise | float | None,
        grader: Grader,
        seed: int,
        settings: dict[str, Any],
    ) -> tuple[ExampleSelector, Any]:
        selector = cls(examples, **settings)
        loop = fit_shots(
            selector.pool,
            live=chain is not None,
            sizes=sizes,
            held_out=held_out,
            promise=promise,
            grader=grader,
            seed=seed,
        )
        return selector, loop

    def _fitted(self, fitted: FittedShots) -> ExampleSelector:
        self.pool.k, self.fitted = fitted.k, fitted
        return self


class _Chosen(ExampleSelector):
    """Examples that were chosen already."""

    def select_examples(self, input_variables: Mapping[str, Any]) -> list[dict[str, Any]]:
        return self.examples


def _request(chain: Chain | None, shot: Shot) -> Request:
    """How to ask a question with these examples."""
    if isinstance(chain, Runnable):
        turns: list[BaseMessage] = []
        for example in shot.shown:
            turns += [HumanMessage(example.text), AIMessage(example.answer or "")]
        return Request(chain, [*turns, HumanMessage(shot.question.text)])
    assert chain is not None, "nothing is asked without a chain"
    made = chain(_Chosen(shot.shown))
    if not isinstance(made, Runnable):
        raise FrugalError(
            f"chain: the function must return a chain made with the selector, not a "
            f"{type(made).__name__}"
        )
    return Request(made, _fields(shot.question))


def _fields(example: Example) -> dict[str, Any]:
    """An example as the prompt uses it."""
    if example.fields:
        return dict(example.fields)
    return {"input": example.text, "output": example.answer or ""}
