"""A caption by a language model, from the measures and tags."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow as pa

from audiocur.errors import ConfigError, require
from audiocur.op import Column, Device, Measures, ModelOp, OnError
from audiocur.records import Clip

if TYPE_CHECKING:
    from audiocur.chat import Chat

FACTS = "{facts}"
PROMPT = (
    f"Describe a piece of music in one plain sentence of at most 30 words. Use only these facts and add none:\n{FACTS}"
)


class Captioner:
    """An endpoint, and what it said to a batch that must be tried again.

    A batch cannot tell which of its clips failed: it raises, and the engine tries them one by one. What was said to
    each, a refusal too, waits here for that, so that nothing is asked twice.
    """

    def __init__(self, chat: Chat, parallel: int) -> None:
        self._chat = chat
        self._parallel = parallel
        self._said: dict[str, str | RuntimeError] = {}

    def answers(self, prompts: Sequence[str]) -> list[str]:
        """The answer to each prompt; equal ones are asked once.

        Raises:
            RuntimeError: one of them got none, see `Chat.ask`.
        """
        said = {prompt: self._said.pop(prompt) for prompt in set(prompts) & self._said.keys()}
        asked = [prompt for prompt in dict.fromkeys(prompts) if prompt not in said]
        with ThreadPoolExecutor(max_workers=self._parallel) as threads:
            said.update(zip(asked, threads.map(self._outcome, asked), strict=True))
        answers = []
        for prompt in prompts:
            outcome = said[prompt]
            if isinstance(outcome, RuntimeError):
                if len(prompts) > 1:
                    self._said = said  # in place of what an earlier batch left: never more than one batch's
                raise outcome
            answers.append(outcome)
        return answers

    def _outcome(self, prompt: str) -> str | RuntimeError:
        try:
            return self._chat.ask(prompt)
        except RuntimeError as error:
            return error


@dataclass(frozen=True, kw_only=True)
class Llm(ModelOp):
    """A caption by any endpoint that speaks OpenAI's chat completions, vLLM's too; the facts are tags and measures."""

    name = "caption"
    remote = True

    model: str = field(metadata={"hint": "what the endpoint calls its model"})
    url: str = "http://localhost:8000/v1"
    api_key_env: str | None = None
    prompt: str = PROMPT
    facts: list[str] = field(default_factory=lambda: ["tags", "tempo_bpm", "beats_per_bar", "key"])
    temperature: float = 0.0
    seed: int | None = 0
    max_tokens: int = 200
    timeout_s: float = 60.0
    retries: int = 5
    backoff_s: float = 1.0
    max_wait_s: float = 60.0
    requests_per_s: float | None = None
    parallel: int = 8
    on_error: OnError = OnError.null

    reads = ("tags",)
    writes = (Column("caption", pa.string(), "", "what is known of the clip, null where nothing is"),)

    def __post_init__(self) -> None:
        require(_is_address(self.url), "url", self.url, "http(s)://host/v1, without user or password")
        require(FACTS in self.prompt, "prompt", self.prompt, f"a text with {FACTS} in it")
        require(bool(self.facts), "facts", self.facts, "at least one column")
        require(0 <= self.temperature <= 2, "temperature", self.temperature, "a number from 0 to 2")
        require(0 <= self.retries <= 100, "retries", self.retries, "a number of tries, 0 to 100")
        require(1 <= self.parallel <= 1000, "parallel", self.parallel, "a number of requests, 1 to 1000")
        require(self.max_tokens >= 1, "max_tokens", self.max_tokens, "a number of tokens, at least 1")
        for key in ("timeout_s", "backoff_s", "max_wait_s"):
            require(0 < getattr(self, key) <= 3600, key, getattr(self, key), "seconds, over 0 and up to 3600")
        rate = self.requests_per_s
        require(rate is None or rate > 0, "requests_per_s", rate, "more than 0, or nothing")

    def load(self, device: Device) -> Captioner:
        """The endpoint; nothing is asked of it yet.

        Raises:
            ConfigError: the variable that `api_key_env` names holds no key.
        """
        from audiocur.chat import Chat  # only workers need it

        body = {"model": self.model, "temperature": self.temperature, "max_tokens": self.max_tokens}
        chat = Chat(
            self.url,
            key=self._key(),
            body=body if self.seed is None else body | {"seed": self.seed},
            timeout_s=self.timeout_s,
            retries=self.retries,
            backoff_s=self.backoff_s,
            max_wait_s=self.max_wait_s,
            requests_per_s=self.requests_per_s,
            connections=self.parallel,
        )
        return Captioner(chat, self.parallel)

    def prepare(self, clip: Clip) -> None:
        """Nothing: it hears no audio."""

    def measure_batch(self, clips: Sequence[Clip], model: Captioner) -> Sequence[Measures]:
        facts = [facts_of(clip.measures, self.facts) for clip in clips]
        answers = iter(model.answers([self.prompt.replace(FACTS, known) for known in facts if known]))
        return [{"caption": next(answers) if known else None} for known in facts]

    def computed_s(self, longest_s: float, clips: int) -> float:
        """No audio, so that clips of any length may share a batch."""
        return 0.0

    def _key(self) -> str | None:
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        # What cannot be sent in a header would be quoted in the error that says so.
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigError(f"caption.api_key_env={self.api_key_env}: expected an environment variable with a key")
        return key


def facts_of(measures: Measures, names: Sequence[str]) -> str:
    """What is known of a clip, a line each.

    >>> print(facts_of({"tags": ["slow", "A minor"], "tempo_bpm": 61.53846, "key": None}, ["tempo_bpm", "tags", "key"]))
    tempo_bpm: 61.54
    tags: slow, A minor
    """
    known = {name: measures[name] for name in names if measures.get(name) not in (None, [], "")}
    return "\n".join(f"{name}: {_shown(value)}" for name, value in known.items())


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{float(f'{value:.4g}'):g}"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
