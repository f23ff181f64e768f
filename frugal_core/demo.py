"""The whole story on real text and a real model, with no key and no account.

A small language model on this machine tells satire from news. Its answers to some headlines are
recorded, a policy is fitted on them, and other headlines are then answered live, once as before and
once through the cascade.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugal_core.errors import FitError, FrugalError
from frugal_core.local_model import (
    MODEL_NAME,
    Headline,
    LocalModel,
    LocalModelError,
    find_weights,
    load_headlines,
)
from frugal_core.pricing import Price, PriceBook
from frugal_core.recording import Answer, Query, Recording, normalise

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage
    from rich.console import Console
    from rich.table import Table

    from frugal_core.cascade import Reply
    from frugal_core.learn.collection import Collection
    from frugal_core.policy import Policy

SYSTEM = "Is the headline real news or satire? Answer with one word: news or satire."
PROMISE = 0.02
BUDGET = 0.4
"""Most that the cascade may cost, as a share of what is paid now."""
QUESTIONS = 440
TAUGHT = 3000
"""Headlines whose right label the student is told, although no model was asked."""
EXAMPLES = 2
PRICED_AS = "gpt-4.1-nano"
ASSUMED_OUTPUT = 300
"""Tokens of an answer, where nothing limits them."""

Prompt = Callable[[str], list[tuple[str, str]]]
"""The application's prompt: a headline to chat messages, as (role, text)."""


@dataclass(frozen=True)
class Live:
    """One headline answered live.

    Args:
        headline: With its right label.
        said: The answer.
        input_tokens, output_tokens: What was bought for it, from all tiers together.
        usd: What that cost.
        seconds: How long the caller waited.
        confidence: Log of the model's own confidence in the answer, if it gives one.
        steps: The trail; empty without a cascade.
    """

    headline: Headline
    said: str
    input_tokens: int
    output_tokens: int
    usd: float
    seconds: float
    confidence: float | None
    steps: Sequence[Mapping[str, Any]] = ()

    @property
    def right(self) -> bool:
        """Whether the answer is the right label."""
        return normalise(self.said) == self.headline.label


@dataclass(frozen=True)
class Report:
    """What a run of the demo came to.

    Args:
        seed: Decided which headlines were drawn.
        policy: Fitted on the recording.
        promised: Whether `policy` is certified; if not, it is what the budget alone buys.
        before, after: The same headlines, answered by the reference alone and by the cascade.
        folder: Where recordings and policy are kept.
    """

    seed: int
    policy: Policy
    promised: bool
    before: list[Live]
    after: list[Live]
    folder: Path


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
        questions: Headlines to answer, a fifth of them live; 440 by default.
        tiers: "provider:model", cheapest first, to be asked instead of the local model; the last is
            what the cascade is compared with.
        folder: Where to keep recordings and policy; `frugal-demo` by default.
        yes: Accept the price of real tiers without being asked.

    Raises:
        FrugalError: if a package is missing, with the commands that install it, or a model fails.
    """
    _check_packages(local=not tiers)
    questions = QUESTIONS if questions is None else questions
    if not 40 <= questions <= 10_000:
        raise FrugalError(f"--questions {questions}: give a number from 40 to 10,000")
    folder = folder or Path("frugal-demo")
    folder.mkdir(parents=True, exist_ok=True)
    draw = _Draw.of(load_headlines(), seed, questions)
    out = _console()
    with ExitStack() as stack:
        if tiers:
            application = _real(tiers)
        else:
            application = _local(stack.enter_context(LocalModel()), draw.labelled)
        return _Demo(application, draw, folder, out, yes).run()


@dataclass(frozen=True)
class _Draw:
    """Headlines by their use; no headline has two."""

    seed: int
    live: list[Headline]
    recorded: list[Headline]
    labelled: list[Headline]

    @property
    def taught(self) -> list[Headline]:
        """The labelled headlines that go into the recording."""
        return self.labelled[:TAUGHT]

    @classmethod
    def of(cls, headlines: list[Headline], seed: int, questions: int) -> _Draw:
        drawn = random.Random(seed).sample(headlines, len(headlines))
        live = questions // 5
        return cls(seed, drawn[:live], drawn[live:questions], drawn[questions:])


@dataclass(frozen=True)
class _Application:
    """What stands before the cascade comes.

    Args:
        models: By name, cheapest first; the last is the one in use.
        prompt: The application's.
        prices: Of the models.
        introduction: What to say about them.
        concurrency: Calls at the same time.
        local: Whether asking costs nothing but time.
    """

    models: Mapping[str, BaseChatModel]
    prompt: Prompt
    prices: PriceBook
    introduction: str
    concurrency: int
    local: bool

    @property
    def reference(self) -> str:
        """The model in use."""
        return list(self.models)[-1]


def _local(server: LocalModel, labelled: list[Headline]) -> _Application:
    """The local model; its prompt shows the labelled headlines that are most like the new one."""
    from langchain_openai import ChatOpenAI

    options: dict[str, Any] = {"base_url": server.base_url, "api_key": "none", "timeout": 60}
    options |= {"temperature": 0, "max_tokens": 3, "logprobs": True}
    model = ChatOpenAI(model=MODEL_NAME, **options)
    listed = PriceBook().price(PRICED_AS)
    return _Application(
        {MODEL_NAME: model},
        _few_shot(labelled),
        PriceBook({MODEL_NAME: Price(listed.input, listed.output)}),
        f"{MODEL_NAME} runs on this machine, behind the real ChatOpenAI. It is free; in this demo "
        f"its tokens are priced as those of {PRICED_AS}, {listed.input:.2f} and "
        f"{listed.output:.2f} USD per million. Its prompt shows the {EXAMPLES} most similar of "
        f"{len(labelled):,} labelled headlines.",
        concurrency=1,
        local=True,
    )


def _few_shot(labelled: Sequence[Headline]) -> Prompt:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectoriser = TfidfVectorizer(sublinear_tf=True)
    pool = vectoriser.fit_transform([headline.text for headline in labelled])

    def prompt(headline: str) -> list[tuple[str, str]]:
        similarity = (pool @ vectoriser.transform([headline]).T).toarray()[:, 0]
        nearest = similarity.argsort(kind="stable")[-EXAMPLES:]  # the most similar comes last
        turns = [("system", SYSTEM)]
        for example in (labelled[i] for i in nearest):
            turns += [("human", example.text), ("ai", example.label)]
        return [*turns, ("human", headline)]

    return prompt


def _real(names: Sequence[str]) -> _Application:
    """Models behind a provider's interface, which need no examples."""
    from langchain_frugal._tiers import _build

    prices = PriceBook()
    models = {}
    for name in names:
        prices.price(name)
        try:
            models[name] = _build(name, {})
        except FrugalError:
            raise
        except Exception as error:  # a provider's client complains in its own way
            key = f"{name.partition(':')[0].upper()}_API_KEY"
            raise FrugalError(f"--tier {name}: {error}; check the name and {key}") from error
    return _Application(
        models,
        lambda headline: [("system", SYSTEM), ("human", headline)],
        prices,
        f"The models are {', '.join(names)}, at their list prices. {names[-1]} is the one in use.",
        concurrency=8,
        local=False,
    )


@dataclass(frozen=True)
class _Demo:
    """One run, step by step."""

    application: _Application
    draw: _Draw
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
        after = self._live("the cascade", self._cascade(policy))
        self._save_live(alone)
        report = Report(draw.seed, policy, promised, alone[reference], after, self.folder)
        _show(report, reference, self.out)
        return report

    def _step(self, text: str) -> None:
        self.out.print(f"\n[bold]{next(self._numbers)}.[/bold] {text}")

    def _record(self) -> Recording:
        """The answers of every model to the recorded headlines, and the labelled ones without."""
        from frugal_core.learn.collect import collect
        from frugal_core.learn.collection import Collection, Question

        names = list(self.application.models)
        questions = [Question(_id(h), h.text, h.label) for h in self.draw.recorded]
        path = self.folder / "answers.jsonl"
        if self.application.local:
            path.unlink(missing_ok=True)  # it costs nothing, so nothing is kept: all of it is fresh
        prices, prompt = self.application.prices, self.application.prompt
        with Collection(path, questions, SYSTEM) as collection:
            self._quote(collection)
            calls = len(collection.missing(names))
            with _progress(self.out, "recorded", calls) as advance:
                tallies = collect(
                    collection,
                    {name: _asking(m, prompt) for name, m in self.application.models.items()},
                    prices,
                    concurrency=self.application.concurrency,
                    progress=lambda what, share: advance(),
                )
        for tally in tallies:
            if tally.stopped or (tally.failed and not tally.answered):
                why = tally.stopped or "every call failed"
                raise FrugalError(f"{tally.model}: {why}; nothing paid for is lost, run it again")
        ids = {question.id for question in questions}
        answered = Recording.load(path, prices)
        labelled = [Query(_id(h), h.text, {}, h.label) for h in self.draw.taught]
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

        from frugal_core.cli.collect import someone_is_there
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
        with _progress(self.out, "fitted", None) as advance:
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
            self.out.print(_sentence(policy.verdict))
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

    def _live(self, name: str, llm: BaseChatModel) -> list[Live]:
        """Answer the live headlines one by one with a model, or with the cascade."""
        lives = []
        with _progress(self.out, name, len(self.draw.live)) as advance:
            for headline in self.draw.live:
                messages = self.application.prompt(headline.text)
                started = time.perf_counter()
                try:
                    message = llm.invoke(messages)
                except Exception as error:
                    from frugal_core.errors import describe

                    raise FrugalError(f"{name}: {describe(error)}; run it again") from error
                seconds = time.perf_counter() - started
                lives.append(self._read(name, headline, message, seconds))
                advance()
        return lives

    def _read(self, name: str, headline: Headline, message: AIMessage, seconds: float) -> Live:
        from langchain_frugal._replies import read_message

        reply = read_message(message, None)
        sent, received = reply.input_tokens, reply.output_tokens
        bill = message.response_metadata.get("frugal")
        if bill is None:
            usd, steps = self.application.prices.cost(name, sent, received), []
        else:
            usd, steps = bill["usd"], bill["trail"]
        return Live(headline, reply.text, sent, received, usd, seconds, reply.confidence, steps)

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
            queries.append(Query(_id(headline), headline.text, answers, headline.label))
        Recording(tuple(queries), self.application.prices).save(self.folder / "live.jsonl.gz")


def _asking(model: BaseChatModel, prompt: Prompt) -> Callable[[str], Reply]:
    """How a collection asks a model."""
    from langchain_frugal._replies import read_message

    return lambda headline: read_message(model.invoke(prompt(headline)), None)


def _id(headline: Headline) -> str:
    """An id that is the same in every run."""
    return hashlib.sha256(headline.text.encode()).hexdigest()[:12]


def _check_packages(local: bool) -> None:
    """Refuse to start without what is needed, with every command that installs it."""
    missing = []
    if find_spec("langchain_openai") is None:
        missing.append("the demo needs LangChain: pip install 'frugal-cascade[langchain]'")
    for find in [load_headlines, *([find_weights] if local else [])]:
        try:
            find()
        except LocalModelError as error:
            missing.append(str(error))
    if missing:
        raise FrugalError("; ".join(missing))


# What is printed


def _console() -> Console:
    """Readable in 80 columns, and without control characters where nobody looks."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 80
    return Console(highlight=False, width=width)


@contextmanager
def _progress(out: Console, what: str, total: int | None) -> Iterator[Callable[..., None]]:
    """A progress bar with the time that is left, on a terminal; a line with the time it took."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    started = time.perf_counter()
    counter = [] if total is None else [MofNCompleteColumn()]
    bar = Progress(
        TextColumn("   {task.description}"),
        BarColumn(),
        *counter,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task(what, total=total or 1.0)

        def advance(share: float | None = None) -> None:
            if share is None:
                bar.advance(task)
            else:
                bar.update(task, completed=share)

        yield advance
    out.print(f"   {what} in {time.perf_counter() - started:.0f} s")


def _show(report: Report, reference: str, out: Console) -> None:
    """The comparison, the certificate, three trails, and what to do next."""
    from frugal_core.evaluation import wilson

    out.print(f"   before: {reference} alone; after: the cascade in its place\n")
    out.print(_comparison(report))
    n, right = len(report.after), sum(live.right for live in report.after)
    low, high = wilson(right, n)
    shares = Counter(live.steps[-1]["model"] for live in report.after)
    answered = ", ".join(f"{model} {count}" for model, count in shares.most_common())
    out.print(
        f"\nAnswered by: {answered}. {n} headlines alone say little: the cascade's accuracy is "
        f"{100 * low:.0f} to {100 * high:.0f} % with 95 % confidence."
    )
    certificate = report.policy.certificate
    claim = certificate.sentence if certificate else "nothing is promised; see above"
    out.print(f"[bold]Certificate[/bold]: {claim}.")
    out.print("\n[bold]Three of the answers[/bold]")
    for live in _examples(report.after):
        _show_trail(live, out)
    folder = report.folder
    out.print("\nThe recording and the policy are kept; the live answers can be replayed:")
    for command in (
        f"frugal eval {folder / 'policy.frugal'} {folder / 'live.jsonl.gz'}",
        f"frugal curve {folder / 'live.jsonl.gz'} --policy {folder / 'policy.frugal'} "
        f"--prices {folder / 'prices.json'} -o {folder / 'curve.html'}",
        f"frugal demo --seed {report.seed + 1}",
    ):
        out.print(f"   {command}", soft_wrap=True)


def _comparison(report: Report) -> Table:
    """Before and after, on the same live headlines."""
    from rich.table import Table

    n = len(report.after)
    table = Table(f"{n} live headlines", box=None, pad_edge=False, padding=(0, 2))
    for column in ("before", "after", "change"):
        table.add_column(column, justify="right")

    def compare(name: str, value: Callable[[Live], float], form: str, scale: float = 1.0) -> None:
        one, two = (scale * sum(map(value, lives)) for lives in (report.before, report.after))
        change = f"{100 * (two / one - 1):+.0f} %" if one else ""
        table.add_row(name, format(one, form), format(two, form), change)

    right = [sum(live.right for live in lives) / n for lives in (report.before, report.after)]
    points = f"{100 * (right[1] - right[0]):+.0f} points"
    table.add_row("accuracy", f"{100 * right[0]:.0f} %", f"{100 * right[1]:.0f} %", points)
    compare("calls of a model", _calls, ",.0f")
    compare("tokens", lambda live: live.input_tokens + live.output_tokens, ",.0f")
    compare("USD per 1,000 headlines", lambda live: live.usd, ".5f", 1000 / n)
    compare("seconds per headline", lambda live: live.seconds, ".3f", 1 / n)
    return table


def _calls(live: Live) -> int:
    """How often a model was asked; the student is none."""
    return sum(step["input_tokens"] > 0 for step in live.steps) if live.steps else 1


def _examples(lives: Sequence[Live]) -> list[Live]:
    """Three answers that show what can happen: accepted at once, passed on, and wrong."""
    kinds = (
        [live for live in lives if live.right and len(live.steps) == 1],
        [live for live in lives if live.right and len(live.steps) > 1],
        [live for live in lives if not live.right],
    )
    chosen = [live for kind in kinds for live in kind[:1]]
    return (chosen + [live for live in lives if live not in chosen])[:3]


def _show_trail(live: Live, out: Console) -> None:
    from rich.markup import escape

    verdict = "right" if live.right else f"wrong, it is {live.headline.label}"
    out.print(f' "{escape(live.headline.text)}": {escape(live.said)} ({verdict})')
    for step in live.steps:
        tokens = step["input_tokens"] + step["output_tokens"]
        cost = f"{tokens} tokens, {step['seconds']:.3f} s" if tokens else "no tokens"
        out.print(f"   {step['model']}: {step['decision']}, {step['why']}; {cost}")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
