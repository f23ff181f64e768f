"""The steps of the demo: record, fit, run live, compare."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugal_core.demo.application import (
    SYSTEM,
    Application,
    Prompt,
    check_packages,
    local_application,
    real_application,
)
from frugal_core.demo.caching import serve, traffic
from frugal_core.demo.printing import console, progress, sentence, show, show_cache, show_next
from frugal_core.demo.results import Draw, Live, Report, id_of
from frugal_core.errors import FitError, FrugalError, describe
from frugal_core.local_model import Headline, LocalModel, load_headlines
from frugal_core.recording import Answer, Query, Recording

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage
    from rich.console import Console

    from frugal_core.learn.collection import Collection
    from frugal_core.policy import Policy

PROMISE = 0.02
BUDGET = 0.4
"""Most that the cascade may cost, as a share of what is paid now."""
QUESTIONS = 320
REQUESTS = 120
"""Questions of the part about the cache."""
ASSUMED_OUTPUT = 300
"""Tokens of an answer, where nothing limits them."""


def run(
    seed: int = 0,
    questions: int | None = None,
    tiers: Sequence[str] = (),
    folder: Path | None = None,
    yes: bool = False,
) -> Report:
    """Record, fit, run live, compare, and print it all.

    Args:
        seed: Decides which headlines are drawn.
        questions: Headlines to answer, a fifth of them live; 320 by default.
        tiers: "provider:model", cheapest first, to be asked instead of the local model; the last is
            what the cascade is compared with.
        folder: Where to keep recordings and policy; `frugal-demo` by default.
        yes: Accept the price of real tiers without being asked.

    Raises:
        FrugalError: if a package is missing, with the commands that install it, or a model fails.
    """
    check_packages(local=not tiers)
    questions = QUESTIONS if questions is None else questions
    if not 40 <= questions <= 10_000:
        raise FrugalError(f"--questions {questions}: give a number from 40 to 10,000")
    folder = folder or Path("frugal-demo")
    folder.mkdir(parents=True, exist_ok=True)
    draw = Draw.of(load_headlines(), seed, questions)
    out = console()
    with ExitStack() as stack:
        if tiers:
            application = real_application(tiers)
        else:
            application = local_application(stack.enter_context(LocalModel()), draw.labelled)
        return _Demo(application, draw, folder, out, yes).run()


@dataclass(frozen=True)
class _Demo:
    """One run, step by step."""

    application: Application
    draw: Draw
    folder: Path
    out: Console
    yes: bool
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 9)))

    def run(self) -> Report:
        draw, reference = self.draw, self.application.reference
        self.out.print(f"[bold]frugal demo[/bold]: news or satire?  seed {draw.seed}")
        self.out.print(self.application.introduction)
        self._step(
            f"Record the answers to {len(draw.recorded)} headlines. {len(draw.taught):,} of the "
            f"labelled ones go with them, unasked."
        )
        recording = self._record()
        self._step(
            f"Fit. Wanted: at most {100 * PROMISE:g} points below {reference}, "
            f"for at most {100 * BUDGET:g} % of its price."
        )
        policy, promised = self._fit(recording)
        self._step(f"Answer {len(draw.live)} other headlines live, before and after.")
        alone = {name: self._live(name, llm) for name, llm in self.application.models.items()}
        fixed: list[Live] = []
        if self.application.fixed is not None:
            llm = self.application.models[reference]
            fixed = self._live(reference, llm, self.application.fixed, ", fixed examples")
        after = self._live("the cascade", self._cascade(policy))
        self._save_live(alone)
        report = Report(draw.seed, policy, promised, alone[reference], after, self.folder, fixed)
        show(report, reference, self.out)
        if self.application.local:
            self._cache()
        show_next(report, self.out)
        return report

    def _step(self, text: str) -> None:
        self.out.print(f"\n[bold]{next(self._numbers)}.[/bold] {text}")

    def _record(self) -> Recording:
        """The answers of every model to the recorded headlines, and the labelled ones without."""
        from frugal_core.learn.collect import collect
        from frugal_core.learn.collection import Collection, Question
        from langchain_frugal.asking import asking

        names = list(self.application.models)
        questions = [Question(id_of(h), h.text, h.label) for h in self.draw.recorded]
        path = self.folder / "answers.jsonl"
        if self.application.local:
            path.unlink(missing_ok=True)  # it costs nothing, so nothing is kept: all of it is fresh
        prices, prompt = self.application.prices, self.application.prompt
        with Collection(path, questions, SYSTEM) as collection:
            self._quote(collection)
            calls = len(collection.missing(names))
            with progress(self.out, "recorded", calls) as advance:
                tallies = collect(
                    collection,
                    {name: asking(m, prompt) for name, m in self.application.models.items()},
                    prices,
                    concurrency=self.application.concurrency,
                    progress=lambda what, share: advance(),
                )
        for tally in tallies:
            if tally.stopped or (tally.failed and not tally.answered):
                raise FrugalError(
                    f"{tally.model} did not answer: {tally.reason}; nothing paid for is lost, "
                    f"run it again"
                )
        ids = {question.id for question in questions}
        answered = Recording.load(path, prices)
        labelled = [Query(id_of(h), h.text, {}, h.label) for h in self.draw.taught]
        recording = Recording(
            (*(query for query in answered if query.id in ids), *labelled), prices
        )
        recording.save(self.folder / "recording.jsonl.gz")
        book = {name: prices.price(name).to_json() for name in names}
        (self.folder / "prices.json").write_text(json.dumps(book, indent=1), encoding="utf-8")
        return recording

    def _quote(self, collection: Collection) -> None:
        """Say what real tiers will cost, and ask."""
        if self.application.local:
            return
        from rich.prompt import Confirm

        from frugal_core.cli.console import someone_is_there
        from frugal_core.learn.collect import quote

        names = list(self.application.models)
        quotes = quote(collection, names, self.application.prices, ASSUMED_OUTPUT)
        self.out.print(
            f"   Recording costs about {sum(q.usd for q in quotes):.2f} USD, and answering live at "
            f"most as much again, if an answer takes {ASSUMED_OUTPUT} tokens (one word is less)."
        )
        if self.yes:
            return
        if not someone_is_there():
            raise FrugalError("nobody is there to accept the price: add --yes")
        if not Confirm.ask("   Go on?", console=self.out):
            raise FrugalError("nothing was asked")

    def _fit(self, recording: Recording) -> tuple[Policy, bool]:
        """The policy, and whether it is certified; if none can be, what the budget alone buys."""
        from frugal_core.fitting import fit

        reference = self.application.reference
        price = self.application.prices.price(reference)
        paid = [
            price.cost(answer.input_tokens, answer.output_tokens)
            for query in recording
            if (answer := query.answers.get(reference))
        ]
        aims: dict[str, Any] = {"budget": BUDGET * 1000 * sum(paid) / len(paid)}
        aims |= {"reference": reference, "seed": self.draw.seed}
        with progress(self.out, "fitted", None) as advance:
            policy = fit(
                recording, promise=PROMISE, progress=lambda what, share: advance(share), **aims
            )
        rows = policy.fitted
        self.out.print(
            f"   learned from {rows['fit']} recorded and {rows['taught']:,} unasked headlines, "
            f"tested on the {rows['test']} other recorded ones"
        )
        promised = policy.certificate is not None
        if not promised:
            self.out.print(sentence(policy.verdict))
            try:
                policy = fit(recording, **aims)
                self.out.print(
                    "[bold]Nothing is promised[/bold], then. What follows is what the budget alone "
                    "buys, without any evidence that it is good enough."
                )
            except FitError:
                self.out.print("What follows is therefore the same model, twice.")
        tiers = [
            f"{tier} (accepted from a score of {threshold:.2f})"
            for tier, threshold in zip(policy.chain.tiers, policy.chain.thresholds, strict=False)
        ]
        self.out.print(f"   the cascade: {' > '.join([*tiers, policy.chain.tiers[-1]])}")
        if policy.chain.thresholds[:1] == (0.0,):
            self.out.print(
                f"   Every answer of {policy.chain.tiers[0]} is accepted: on this text, with these "
                f"labels, {reference} is not needed at all."
            )
        policy.save(self.folder / "policy.frugal")
        return policy, promised

    def _cascade(self, policy: Policy) -> BaseChatModel:
        """What takes the place of the model in use: the only line of the application to change."""
        from langchain_frugal import FrugalCascadeLLM

        return FrugalCascadeLLM(policy=policy, tiers=self.application.models)

    def _live(
        self, name: str, llm: BaseChatModel, prompt: Prompt | None = None, how: str = ""
    ) -> list[Live]:
        """Answer the live headlines one by one with a model, or with the cascade."""
        prompt = prompt or self.application.prompt
        lives = []
        with progress(self.out, name + how, len(self.draw.live)) as advance:
            for headline in self.draw.live:
                messages = prompt(headline.text)
                started = time.perf_counter()
                try:
                    message = llm.invoke(messages)
                except Exception as error:
                    raise FrugalError(f"{name}: {describe(error)}; run it again") from error
                seconds = time.perf_counter() - started
                lives.append(self._read(name, headline, message, seconds))
                advance()
        return lives

    def _read(self, name: str, headline: Headline, message: AIMessage, seconds: float) -> Live:
        from langchain_frugal.asking import reply_of

        reply = reply_of(message)
        sent, received = reply.input_tokens, reply.output_tokens
        bill = message.response_metadata.get("frugal")
        if bill is None:
            usd, steps = self.application.prices.cost(name, sent, received), []
        else:
            usd, steps = bill["usd"], bill["trail"]
        return Live(headline, reply.text, sent, received, usd, seconds, reply.confidence, steps)

    def _cache(self) -> None:
        """The same questions with and without a semantic cache."""
        from langchain_frugal import SemanticCacheCallback

        name = self.application.reference
        llm, price = self.application.models[name], self.application.prices.price(name)
        questions = traffic(self.draw.seed, REQUESTS)
        self._step(
            f"Answer {REQUESTS} questions of which many come back, some in other words, with and "
            f"without the semantic cache."
        )
        with SemanticCacheCallback(":memory:") as cache:
            with progress(self.out, "without the cache", REQUESTS) as advance:
                without = serve(questions, llm, price, {}, advance)
            with progress(self.out, "with the cache", REQUESTS) as advance:
                cached = serve(questions, llm, price, {"callbacks": [cache]}, advance)
            show_cache(without, cached, cache.certificate().sentence, self.out)

    def _save_live(self, alone: Mapping[str, Sequence[Live]]) -> None:
        """Keep what each model said live, for `frugal eval` and `frugal curve`."""
        queries = []
        for row, headline in enumerate(self.draw.live):
            answers = {
                name: Answer(
                    lives[row].said,
                    lives[row].input_tokens,
                    lives[row].output_tokens,
                    confidence=lives[row].confidence,
                )
                for name, lives in alone.items()
            }
            queries.append(Query(id_of(headline), headline.text, answers, headline.label))
        Recording(tuple(queries), self.application.prices).save(self.folder / "live.jsonl.gz")
