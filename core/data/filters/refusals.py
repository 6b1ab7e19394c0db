"""Answers that decline to answer.

The phrases are those with which the scripts that cleaned ShareGPT and Alpaca (Vicuna unfiltered, alpaca-cleaned) look
for refusals, held to the beginning of an answer: an answer that mentions a language model further down stays. Words
such as "ethical" or "sorry" alone, which those scripts also take, drop good answers, and are no sign here.
"""

from __future__ import annotations

import re

_LOOKED_AT = 300
_SORRY = (
    r"(?:i'?m|i am) (?:(?:very|so|really|truly|terribly) )?(?:sorry|afraid)|(?:my )?(?:sincere )?apologies|"
    r"i (?:sincerely |do )?apologi[sz]e|sorry|unfortunately|regrettably"
)
_UNABLE = (
    r"can'?t|can ?not|could not|couldn'?t|won'?t|will not|must decline|have to decline|decline to|"
    r"(?:'m|am) (?:not able|unable|not allowed|not permitted|not programmed|not designed|not capable|not comfortable)|"
    r"do(?: not|n'?t) (?:feel comfortable|have (?:the ability|access|personal|the capability|enough information))"
)
_HELP = (
    r"help|assist|provide|answer|fulfil|fulfill|comply|complete|create|generate|write|do (?:that|this)|engage|support|"
    r"respond|discuss|share|give|offer|participate|promote|condone|access|perform|process|browse|continue|recommend"
)
# Not the first words of `an AI researcher`.
_MACHINE = (
    r"an? (?:\w+ ){0,2}?(?:ai|a\.i\.|artificial intelligence|(?:large )?language model|chatbot|virtual assistant)"
    r"(?: (?:language model|text model|model|assistant|system|program|chatbot|bot|ai)){0,2}"
    r"(?=[,.;:!]|$| i\b| (?:developed|trained|created|designed|made|built|and|that|which|but|without|with)\b)"
)
_I_CANNOT = rf"i ?(?:{_UNABLE})"
_REFUSAL = re.compile(
    r"(?:(?:hi|hello|well|oh|hmm)[,.!]? )?(?:"
    + "|".join(
        [
            rf"(?:{_SORRY})[ ,.;:!-]*(?:(?:but|however|that|for)[ ,]*)?(?:as {_MACHINE}[^.!?]{{0,40}}?,? )?{_I_CANNOT}"
            rf"(?: (?:\w+ ){{0,3}}(?:{_HELP})|[.!]|$| (?:that|this|your))",
            rf"(?:{_SORRY})[ ,.;:!-]*(?:(?:but|however)[ ,]*)?(?:as|i(?:'?m| am)) (?:just |only )?{_MACHINE}",
            rf"{_I_CANNOT} (?:\w+ ){{0,2}}(?:{_HELP})\b",
            rf"(?:as|i(?:'?m| am)|being) (?:just |only |simply )?{_MACHINE}[^.!?]{{0,80}}?\b"
            rf"i ?(?:{_UNABLE}|do(?: not|n'?t)|am not|lack|have no)",
            r"(?:it is|it'?s|that'?s) (?:not (?:appropriate|ethical|okay|possible)|inappropriate|unethical) for me to",
            r"(?:this|your|that) (?:request|question|prompt) (?:violates|goes against)",
            r"i ?(?:'m|am|was) (?:not )?programmed (?:not )?to",
        ]
    )
    + ")",
    re.IGNORECASE,
)
_CHINESE = re.compile(
    r"(?:(?:很|非常)?(?:抱歉|对不起|對不起|不好意思)[，,。！ ]*(?:但是?)?(?:作为[^，。]{0,20}[，,])?"
    r"我(?:不能|无法|無法|没有|不会)"
    r"|(?:作为|我(?:只)?是)(?:一个|一名|一款)?(?:AI|人工智能|语言模型|大型语言模型)[^。]{0,40}(?:不能|无法|没有))"
)
_APOSTROPHES = str.maketrans("’‘ʼ`", "''''")
_SPACE = re.compile(r"\s+")


def refusal(answer: str) -> str:
    """Return the words with which an answer declines; "" where it does not."""
    beginning = _SPACE.sub(" ", answer[:_LOOKED_AT].translate(_APOSTROPHES)).lstrip(" \"'*")
    found = _REFUSAL.match(beginning) or _CHINESE.match(beginning)
    return found.group()[:80] if found else ""
