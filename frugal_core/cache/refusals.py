"""Refusals in words: what a model says when it will not answer, and its provider calls an end.

Only the usual first sentences are known, in the first person and without a word of what could be
done instead: an answer that is taken for a refusal is paid for again.
"""

from __future__ import annotations

import re

_LONGEST = 400  # characters; what goes on has something to say
_ENGLISH = r"""
    (?:
        (?:(?:i'm|i\ am)\ (?:(?:so|very|really|truly)\ )?)?sorry
        |i'm\ afraid|i\ am\ afraid|i\ apologi[sz]e(?:\ for\ [^.,!?\n]{1,40})?|my\ apologies
        |unfortunately|i\ (?:understand|appreciate)\ [^.!?\n]{1,80}[.,]
    )?
    [\s,.;:–—-]*+ (?:(?:but|however)[\s,]++)?
    (?:
        (?P<machine>(?:as|i'm|i\ am)\ (?:just\ )?an?\ (?:ai|artificial|large|language|virtual)\b
            [^.!?\n]{0,50}?[,.]\s)?
        i(?:
            \ (?:can't|can\ ?not|won't|will\ not)\ (?:actually\ |directly\ |ethically\ )?
            |(?:'m|\ am)\ (?:unable|not\ able|not\ allowed|not\ permitted|not\ going)\ to\ 
            |(?:'m|\ am)\ not\ comfortable\ (?:with\ )?
        )
        (?(machine)\w|(?:
            (?:help|assist|comply|fulfill?|engage|participate|discuss|discussing|answer|answering)\b
                (?!\ but)
            |(?:provide|share|sharing|generate|create|write|writing|give|offer|do|doing|support
                |continue|produce|complete|process|providing|that|this)\b
                (?:\ you)?(?:\ with)?(?:(?<=that)|(?<=this)
                |\ (?:that|this|such|your\ request|the\ requested|(?:any\ )?(?:information
                    |instructions|assistance|guidance|content|medical|legal|financial))\b)
        ))
        |i\ (?:must|have\ to|need\ to)\ (?:respectfully\ |politely\ )?decline\b
    )
    (?![^.!?\n]{0,30}(?:=|->|→|\bmeans\b|\btranslates\b|\bin\ \w+\ is\b))
"""
_OTHERS = r"""
    (?:es\ )?tut\ mir\ (?:\w+\ )?leid,?\ (?:aber\ )?(?:dabei|damit|das|ich|hierbei|diese)\b
        [^.!?\n]{0,60}\bnicht\b
    |leider\ kann\ ich\ [^.!?\n]{0,40}\bnicht\ (?:weiter)?(?:helfen|beantworten|antworten)
    |(?:je\ suis\ )?(?:vraiment\ )?désolée?,?\ (?:mais\ )?je\ ne\ (?:peux|puis)\ pas\b
    |lo\ siento,?\ (?:pero\ )?no\ puedo\ (?!es\b)
    |mi\ dispiace,?\ (?:ma\ )?non\ posso\b
    |(?:desculpe|sinto\ muito|lamento),?\ (?:mas\ )?não\ posso\b
    |(?:很?抱歉|对不起|對不起)[，,]?\s?(?:但|但是)?(?:我|作为|作為)[^。！？\n]{0,20}(?:无法|無法|不能)
    |(?:申し訳|すみません)[^。！？\n]{0,50}(?:お応え|お答え|お手伝い)[^。！？\n]{0,10}(?:でき|かね)
"""
# No quotation mark before it: who quotes a refusal explains it. Possessive, or blanks cost squares.
_REFUSES = re.compile(rf"[\s*_\#>]*+(?:{_ENGLISH}|{_OTHERS})", re.IGNORECASE | re.VERBOSE)
_ELSE = re.compile(r"\b(?:but|however|instead)\b", re.IGNORECASE)


def refuses(text: str) -> bool:
    """Whether an answer is one of the usual refusals.

    Args:
        text: All of it.

    Example:
        >>> refuses("I'm sorry, but I can't help with that.")
        True
        >>> refuses("I can't give legal advice, but most tenants must give three months' notice.")
        False
    """
    if len(text) > _LONGEST:
        return False
    found = _REFUSES.match(text.replace("\u2019", "'"))
    return found is not None and _ELSE.search(text, found.end()) is None
