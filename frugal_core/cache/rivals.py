"""Words that stand against each other: what one says, the other denies, or says of something else.

Dictionaries of opposites hold few of them, and to an embedder they are nearly the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from itertools import chain

from frugal_core.cache.wording import Wording
from frugal_core.language import stem

_RIVALS = """
before after
over under
above below
in out
on off
up down
into out
inside outside
within after outside
for against
mit ohne
vor nach
avec sans
con sin senza
com sem
met zonder
all some none
every some
first last
last next this
previous next
past present future
ancient modern
always never sometimes
often rarely seldom
most least fewest
more less fewer
who when where why
how why
he she
his her
him her
greater less smaller
larger smaller
bigger smaller
higher lower
highest lowest
upper lower
better worse
easy/easier hard/harder/difficult
best worst
faster slower
fastest slowest
older younger newer
oldest youngest newest
earlier later
longer shorter
cheaper dearer
stronger weaker
maximum minimum
max min

monday tuesday wednesday thursday friday saturday sunday
january february march april may june july august september october november december
spring summer autumn/fall winter
north south east west
morning noon evening night
am pm
breakfast lunch dinner
daily weekly monthly yearly/annually

second minute hour day week month quarter year decade century
millimeter/millimetre/mm centimeter/centimetre/cm meter/metre kilometer/kilometre/km \
inch foot/feet yard mile
milligram/mg gram/g kilogram/kilo/kg ounce/oz pound/lb ton/tonne
milliliter/millilitre/ml liter/litre gallon pint quart cup tablespoon/tbsp teaspoon/tsp
celsius fahrenheit kelvin
kilobyte/kb megabyte/mb gigabyte/gb terabyte/tb
dollar/usd euro/eur pound/gbp rupee/inr yen/jpy yuan/rmb

accept decline
add remove
allow/permit/legal block/prohibit/forbid/forbidden/ban
approve deny
archive restore
arrive depart
arrival departure
backup restore
begin finish
buy rent
buyer seller
client server
create delete
encode decode
encrypt decrypt
enter leave exit
entrance exit
expand collapse
fixed variable
freeze thaw
fresh frozen
gain lose
grant revoke
inbound outbound
inhale exhale
input output
insert delete
landlord tenant
lender borrower
local remote
merge split
online offline
permanent temporary
prepaid postpaid
profit loss
promote demote
read write
save delete
keep discard
row column
send receive
single married
start end finish

acid base
artery vein
bacteria virus
clockwise counterclockwise/anticlockwise
proton neutron electron
vegan vegetarian
"""
"""A line a group, with a slash between the forms of one word."""

_CLOSE_RIVALS = """
from to
is/am/are/was/were/do/does/did will/shall
all/every/each any
all/every/each most many/much some/few/several half
both either
only more
must can/may
how when
"""
"""As `_RIVALS`, where nothing else of the content differs; elsewhere they often mean the same."""


def _table(lines: str) -> dict[str, frozenset[str]]:
    rivals: dict[str, set[str]] = {}
    for line in lines.split("\n"):
        words = [frozenset(map(stem, forms.split("/"))) for forms in line.split()]
        for forms in words:
            others = set(chain.from_iterable(words)) - forms
            for form in forms:
                rivals.setdefault(form, set()).update(others)
    return {word: frozenset(others) for word, others in rivals.items()}


_RIVALS_OF = _table(_RIVALS)
_CLOSE_RIVALS_OF = _table(_CLOSE_RIVALS)
_TURNING = ("un", "non", "dis", "il", "im", "in", "ir")


def are_rivals(new: Wording, old: Wording) -> bool:
    """Whether a word of one question stands against a word of the other.

    Example:
        >>> from frugal_core.cache.wording import read
        >>> are_rivals(read("How long is a mile in feet?"), read("How long is a mile in meters?"))
        True
        >>> are_rivals(read("How many km is a mile?"), read("How many kilometers is a mile?"))
        False
    """
    only_new, only_old = new.word_set - old.word_set, old.word_set - new.word_set
    if only_new and only_old:
        if _opposed(new.stem_set - old.stem_set, old.stem_set - new.stem_set, _RIVALS_OF):
            return True
        if _turns(only_new, only_old) or _turns(only_old, only_new):
            return True
    return _are_close_rivals(new, old)


def _are_close_rivals(new: Wording, old: Wording) -> bool:
    if not (new.content ^ old.content).issubset(_CLOSE_RIVALS_OF):
        return False
    # Counted, as in "how to move to", "how to move from".
    counts_new, counts_old = Counter(new.stems), Counter(old.stems)
    more_new, more_old = counts_new - counts_old, counts_old - counts_new
    return _opposed(frozenset(more_new), frozenset(more_old), _CLOSE_RIVALS_OF)


def _opposed(
    ones: frozenset[str], others: frozenset[str], rivals: Mapping[str, frozenset[str]]
) -> bool:
    return any(not others.isdisjoint(rivals[one]) for one in rivals.keys() & ones)


def _turns(ones: frozenset[str], others: frozenset[str]) -> bool:
    """Whether a word stands among the others without its prefix, as "used" for "unused"."""
    return any(not others.isdisjoint(_unturned(word)) for word in ones)


@lru_cache(maxsize=16_384)
def _unturned(word: str) -> tuple[str, ...]:
    bases = (word.removeprefix(prefix) for prefix in _TURNING if word.startswith(prefix))
    return tuple(base for base in bases if len(base) > 2)
