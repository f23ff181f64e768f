"""Signs, quotations, rival words and other scripts: what embedders hardly see."""

from __future__ import annotations

import pytest

from frugal_core.cache.guard import is_same_wording, objection
from frugal_core.cache.lexicon import english
from frugal_core.cache.wording import compare, read

APART = [
    ("(2+3)*4", "2+(3*4)", "signs"),
    ("What is 1,5 times 2?", "What is 15 times 2?", "numbers"),
    ("What does a && b mean?", "What does a || b mean?", "numbers"),
    ("What is 5!", "What is 5?", "signs"),
    ("What is 3 × 4?", "What is 3 ÷ 4?", "numbers"),
    ("What is 10 \u2212 4?", "What is 10 + 4?", "numbers"),
    ("Compute x - y", "Compute x y", "signs"),
    ("Plot [a, b)", "Plot (a, b]", "signs"),
    ("What is meant by 😀?", "What is meant by 😡?", "numbers"),
    ("A loss of (3) million?", "A loss of 3 million?", "signs"),
    ("Who is anna.mueller@x.com?", "Who is anna.muller@x.com?", "addresses"),
    ("Is www.red-shop.com safe?", "Is www.blue-shop.com safe?", "addresses"),
    ("Is https://shop.com down?", "Is the site down?", "addresses"),
    ("Is 'Paris' spelt so?", "Is 'paris' spelt so?", "quotation"),
    ("Is the word 'colour' British?", "Is the word 'color' British?", "quotation"),
    ("दिन क्या है", "दान क्या है", "unknown words"),
    ("เสื่อ คืออะไร", "เสื้อ คืออะไร", "unknown words"),
    ("May I eat before surgery?", "May I eat after surgery?", "opposites"),
    ("How do I zoom in?", "How do I zoom out?", "opposites"),
    ("Open on monday?", "Open on tuesday?", "opposites"),
    ("Are some snakes poisonous?", "Are all snakes poisonous?", "opposites"),
    ("Is Python faster than Java?", "Is Python slower than Java?", "opposites"),
    ("Refund of a used ticket?", "Refund of an unused ticket?", "opposites"),
    ("When was the bridge built?", "Why was the bridge built?", "opposites"),
    ("How does aspirin work?", "Why does aspirin work?", "opposites"),
    ("Is it due in two weeks?", "Is it due in two months?", "opposites"),
    ("How long is a mile in feet?", "How long is a mile in metres?", "opposites"),
    ("How do I encrypt a disk?", "How do I decrypt a disk?", "opposites"),
    ("Can I archive my mails?", "Can I restore my mails?", "opposites"),
    ("Did I lend you money?", "Did you lend me money?", "order"),
    ("How do I text a girl who ignored me?", "How do I text a girl I ignored?", "order"),
    ("What does a == b mean?", "What does a = b mean?", "signs"),
    ("What does *args do?", "What does **args do?", "signs"),
    ("What does . mean in a path?", "What does .. mean in a path?", "signs"),
    ("What does ?? do in C#?", "What does ?. do in C#?", "signs"),
    ("What does tar -c do?", "What does tar -C do?", "quotation"),
    (r"What does \d match?", r"What does \D match?", "quotation"),
    ("What does print(Foo) print?", "What does print(foo) print?", "quotation"),
    ("How long do 10 GB take at 100 Mb?", "How long do 10 GB take at 100 MB?", "quotation"),
    ("How do T and t differ in DNA?", "How do t and T differ in DNA?", "capitals"),
    ("Kann ich das essen?", "Kann ich das nicht essen?", "negation"),
    ("Ist das mit Zucker gesund?", "Ist das ohne Zucker gesund?", "opposites"),
    ("How do I vote for the bill?", "How do I vote against the bill?", "opposites"),
    ("Do you ship to Canada?", "Do you ship from Canada?", "opposites"),
    ("How to upgrade to version 10?", "How to upgrade from version 10?", "opposites"),
    ("Is 500mg of it safe?", "Is 500g of it safe?", "opposites"),
    ("Is there a bus at 7 am?", "Is there a bus at 7 pm?", "opposites"),
    ("How do I drop rows with pandas?", "How do I drop columns with pandas?", "opposites"),
    ("Darf ich vor der Probezeit kündigen?", "Darf ich nach der Probezeit kündigen?", "opposites"),
    ("How did Elvis die?", "When did Elvis die?", "opposites"),
    ("Are all dogs allowed?", "Are any dogs allowed?", "opposites"),
    ("Must I wear a helmet?", "May I wear a helmet?", "opposites"),
    ("Who is the head of Apple?", "Who will be the head of Apple?", "opposites"),
    ("Did the shop open on Sunday?", "Will the shop open on Sunday?", "opposites"),
    ("Are the shops open?", "Will the shops be open?", "opposites"),
    ("Do most dogs bark?", "Do some dogs bark?", "opposites"),
    ("Do many people agree?", "Do half the people agree?", "opposites"),
    ("May I use only one code?", "May I use more than one code?", "opposites"),
    ("Is gold heavier than lead?", "Is gold lighter than lead?", "opposites"),
    ("What is prednisone used for?", "What is prednisolone used for?", "unknown words"),
    ("Do US citizens need a visa?", "Do UK citizens need a visa?", "names"),
]
SAME = [
    ("What is the capital of France?", "what is the capital of france"),
    ("What's an e-mail?", "WHAT IS AN E MAIL??"),
    ("Well, does it cost 1,000 dollars?", "well does it cost 1000 dollars"),
    ("Is it cheap \u2014 or dear?", "Is it cheap - or dear?"),
    ("\uff37\uff48\uff41\uff54 is this?", "What is this?"),
    ("Who is president of the U.S.?", "who is president of the US ?"),
    ("Is 100 GB enough ...", "is 100 GB enough?"),
]
ALLOWED = [
    ("Is tea or coffee healthier?", "Is coffee or tea healthier?"),
    ("What does a judge earn?", "What do judges earn?"),
    ("Who was the king that lost his crown?", "Which king was it who did lose his crown?"),
    ("How do a list and a tuple differ?", "How do a tuple and a list differ?"),
    ("How do I cook rice from Italy?", "How do I cook Italian rice to perfection?"),
    ("Wie kann ich mein Konto löschen?", "Wie lösche ich mein Konto?"),
]


@pytest.mark.parametrize(("one", "other", "why"), APART)
def test_what_an_embedder_takes_for_the_same_is_forbidden(one: str, other: str, why: str) -> None:
    for new, old in ((read(one), read(other)), (read(other), read(one))):
        assert not is_same_wording(new, old)
        assert objection(new, old, compare(new, old, english())) == why


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_is_written_otherwise_at_most_is_the_same(one: str, other: str) -> None:
    assert is_same_wording(read(one), read(other))
    assert is_same_wording(read(other), read(one))


@pytest.mark.parametrize(("one", "other"), ALLOWED)
def test_what_may_mean_the_same_is_left_to_the_score(one: str, other: str) -> None:
    for new, old in ((read(one), read(other)), (read(other), read(one))):
        assert not is_same_wording(new, old)
        assert objection(new, old, compare(new, old, english())) is None
