"""Lists of messages as turns: chat messages, ShareGPT and Vicuna, with tool calls.

Rules: an empty system text is none; an empty turn makes the row a bad one. Turns of one role in a row become one,
joined by a blank line; assistant turns before the first user turn and user turns after the last assistant turn are
left out, for nothing asks for the first and nothing answers the last.

Tools are written out in the convention of Hermes (NousResearch/Hermes-Function-Calling) and of Qwen 2.5's chat
template: the tools in <tools> at the end of the system turn, a call in <tool_call> as the assistant's turn, a result
in <tool_response> as a user's turn. Rows that any of these rules changes are counted as repaired.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any, Literal

from core.data.formats.columns import as_text
from core.data.formats.conversation import Conversation, Role, Turn
from core.data.sources.reading import check_text
from core.data.tally import RowError, show

Side = Literal["system", "user", "assistant", "call", "result"]

_SIDES: dict[str, Side] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "claude", "model", "bot", "ai"), "assistant"),
    **dict.fromkeys(("function_call", "tool_call"), "call"),
    **dict.fromkeys(("observation", "tool", "function", "function_response", "tool_response", "ipython"), "result"),
}


def conversation_of(
    messages: object, where: str, repairs: set[str], *, system: str = "", tools: object = None
) -> Conversation:
    """Return a list of messages as a conversation; what was changed is added to `repairs`.

    Raises: RowError where a message cannot be used, or no assistant answers a user.
    """
    return finished(turns_of(messages, where, repairs, system=system, tools=tools), repairs)


def finished(turns: list[Turn], repairs: set[str]) -> Conversation:
    """Return turns as a conversation, by the rules above; what was changed is added to `repairs`.

    Raises: RowError where no assistant answers a user.
    """
    head = turns[:1] if turns and turns[0].role == "system" else []
    spoken = alternating(turns[len(head) :], repairs)
    if spoken and spoken[-1].role == "user":
        repairs.add("last_question_left_out")
        spoken.pop()
    if not spoken:
        raise RowError("no_response", "expected an assistant turn after a user turn, found none")
    return Conversation((*head, *spoken))


def turns_of(messages: object, where: str, repairs: set[str], *, system: str = "", tools: object = None) -> list[Turn]:
    """Return the messages as turns, as they stand: only tools are written out and empty system texts left out.

    Raises: RowError where a message cannot be used.
    """
    if not isinstance(messages, list):
        raise RowError("format", f"expected a list in {where!r}, found {show(messages)}")
    turns = [turn for number, message in enumerate(messages) if (turn := _turn(message, f"{where}[{number}]", repairs))]
    for number, turn in enumerate(turns):
        if turn.role == "system" and number:
            raise RowError("role", f"expected a system turn only at the start of {where}, found one after a turn")
    said = turns.pop(0).content if turns and turns[0].role == "system" else ""
    parts = [part for part in (system, said, _tools_text(tools, repairs)) if part]
    return [Turn("system", "\n\n".join(parts)), *turns] if parts else turns


def alternating(turns: list[Turn], repairs: set[str]) -> list[Turn]:
    """Return turns that begin with the user's and alternate; what was changed is added to `repairs`."""
    spoken: list[Turn] = []
    for turn in turns:
        if not spoken and turn.role == "assistant":
            repairs.add("opening_answer_left_out")
        elif spoken and spoken[-1].role == turn.role:
            repairs.add("same_role_joined")
            before = spoken[-1]
            text = f"{before.content}\n\n{turn.content}"
            spoken[-1] = Turn(turn.role, text, supervised=before.supervised and turn.supervised)
        else:
            spoken.append(turn)
    return spoken


def _turn(message: object, where: str, repairs: set[str]) -> Turn | None:
    if not isinstance(message, dict) or (name := _first(message, "role", "from")) is None:
        raise RowError("format", f"expected {where} to have role and content, found {show(message)}")
    side = _SIDES.get(name.lower()) if isinstance(name, str) else None
    if side is None:
        raise RowError("role", f"expected role system, user or assistant at {where}, found {show(name)}")
    calls = message.get("tool_calls")
    content = _content(message, where, repairs, optional=bool(calls))
    if content.strip():
        check_text(content)
    elif side == "system":
        return None
    elif not calls:
        raise RowError("empty_turn", f"expected text in {where} ({name}), found nothing")
    role: Role = side if side in ("system", "user", "assistant") else "assistant" if side == "call" else "user"
    if side == "result":
        content = _written("tool_response", content, repairs)
    elif side == "call":
        content = _written("tool_call", content, repairs)
    elif isinstance(calls, list) and calls:
        written = [_written("tool_call", _call_text(call, where), repairs) for call in calls]
        content = "\n".join([content, *written] if content.strip() else written)
    return Turn(role, content, supervised=_counted(message, where) if role == "assistant" else True)


def _content(message: dict[str, Any], where: str, repairs: set[str], *, optional: bool) -> str:
    content = _first(message, "content", "value", "text")
    if content is None and optional:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and content:
        return "".join(_part(part, f"{where}.content[{number}]", repairs) for number, part in enumerate(content))
    if content is None and not any(key in message for key in ("content", "value", "text")):
        raise RowError("format", f"expected {where} to have role and content, found {show(message)}")
    raise RowError("format", f"expected text in {where}.content, found {show(content)}")


def _part(part: object, where: str, repairs: set[str]) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, dict) else None
    text = _first(part, "text", "value", "content") if isinstance(part, dict) else None
    if not isinstance(text, str) or kind not in ("text", "tool_call", "tools"):
        raise RowError("format", f"expected a part of type text with its text at {where}, found {show(part)}")
    return text if kind == "text" else _written(kind, text, repairs)


def _counted(message: dict[str, Any], where: str) -> bool:
    """Whether the loss counts an answer; data may say so with loss_weight (LLaMA-Factory) or weight (OpenAI)."""
    weight = _first(message, "loss_weight", "weight")
    if weight is None:
        return True
    if not isinstance(weight, int | float) or weight not in (0, 1):
        raise RowError("format", f"expected a loss weight of 0 or 1 at {where}, found {show(weight)}")
    return bool(weight)


def _call_text(call: object, where: str) -> str:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RowError("format", f"expected a tool call with the name of a function at {where}, found {show(call)}")
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError):  # what is no JSON stands in the call as the text that it is
            arguments = json.loads(arguments)
    return json.dumps({"name": function["name"], "arguments": arguments}, ensure_ascii=False)


def _tools_text(tools: object, repairs: set[str]) -> str:
    if tools is None or tools in ("", "[]", [], {}):
        return ""
    text = as_text(tools)
    if not text.strip():
        return ""
    check_text(text)
    return _written("tools", text, repairs)


def _written(tag: str, text: str, repairs: set[str]) -> str:
    repairs.add("tools_written_out")
    return f"<{tag}>\n{text}\n</{tag}>"


def _first(message: dict[str, Any], *keys: str) -> Any:
    return next((message[key] for key in keys if message.get(key) is not None), None)
