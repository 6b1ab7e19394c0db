from __future__ import annotations

import pytest

from core.data.filters.refusals import refusal

REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I’m sorry, but I cannot assist with that request.",
    "I am very sorry, but as an AI language model, I cannot provide medical advice.",
    "Sorry, I am unable to access the internet.",
    "Sorry, but I can't do that.",
    "I apologize, but I won't write that kind of story.",
    "Unfortunately, I cannot answer this question.",
    "As an AI language model, I do not have personal opinions.",
    "As an artificial intelligence, I'm not able to feel emotions.",
    "I'm just an AI assistant, I don't have access to your files.",
    "I cannot provide instructions for making weapons.",
    "I can't assist with that.",
    "I'm not able to browse the web.",
    "Hello! I'm sorry, but I can't share that.",
    "It is not appropriate for me to comment on this.",
    "Your request violates our guidelines.",
    "I was not programmed to do this.",
    "很抱歉，我无法回答这个问题。",
    "作为一个AI语言模型，我没有个人观点。",
    '"I\'m sorry, but I cannot help you with that."',
]
ANSWERS = [
    "I'm sorry to hear that your dog died. It may help to talk about it.",
    "Sorry, the shop is closed on Sundays.",
    "Unfortunately, the answer is probably not: airlines need not pay.",
    "As an AI engineer, you will train models.",
    "As an AI researcher I cannot recommend this book enough.",
    "I can't believe it! We won the cup.",
    "I cannot stand the rain, she said.",
    "I will not go there again, he wrote in his diary.",
    "The model answered: I'm sorry, but I can't help with that.",
    "An AI language model predicts the next word.",
    "Dear Ms Lee, I am sorry that I cannot come on Friday.",
    "Being a language teacher, I do not like this rule.",
    "",
]


@pytest.mark.parametrize("answer", REFUSALS)
def test_refusals_are_found(answer: str) -> None:
    assert refusal(answer)


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_are_none(answer: str) -> None:
    assert refusal(answer) == ""


def test_only_the_beginning_counts() -> None:
    assert refusal("Here is the plan.\n\nI'm sorry, but I can't help with the rest.") == ""
    assert refusal("  \n\n" + REFUSALS[0]).startswith("I'm sorry, but I can't help")
