"""A language model behind an HTTP endpoint that speaks OpenAI's chat completions, as vLLM and most others do."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter

_TRY_AGAIN = (408, 425, 429)  # and every 5xx
_SHOWN = 200  # characters of an answer that is not understood


class Chat:
    """One endpoint: asks it, patiently and no faster than allowed. May be used from several threads.

    Args:
        url: of the API, "http://localhost:8000/v1".
        key: sent as bearer token and nowhere shown; null sends none.
        body: what every request says beside its messages: model, temperature, and so on.
        timeout_s: seconds without a byte after which a request is given up.
        retries: further tries after an answer of 408, 425, 429 or 5xx, a time-out or a lost connection.
        backoff_s: the pause before the first of them; each further one doubles it.
        max_wait_s: the longest pause; an endpoint that asks for a longer one is given up.
        requests_per_s: of all threads together, retries included; null sets no limit.
        connections: kept open at most.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None,
        body: Mapping[str, Any],
        timeout_s: float,
        retries: int,
        backoff_s: float,
        max_wait_s: float,
        requests_per_s: float | None,
        connections: int,
    ) -> None:
        self._url = url.rstrip("/") + "/chat/completions"
        self._key = key
        self._body = dict(body)
        self._timeout_s = timeout_s
        self._retries = retries
        self._backoff_s = backoff_s
        self._max_wait_s = max_wait_s
        self._interval_s = 1 / requests_per_s if requests_per_s else 0.0
        self._next_s = 0.0
        self._lock = threading.Lock()
        self._session = requests.Session()
        self._session.auth = self._authorised
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=connections))

    def ask(self, prompt: str) -> str:
        """The answer to a prompt, as one line.

        Raises:
            RuntimeError: the endpoint refuses, fails too often, or gives no whole answer.
        """
        body = self._body | {"messages": [{"role": "user", "content": prompt}]}
        problem, wait_s = "", 0.0
        for attempt in range(self._retries + 1):
            time.sleep(wait_s)
            self._keep_pace()
            wait_s = min(self._backoff_s * 2**attempt, self._max_wait_s)
            try:
                # No redirects: a POST becomes a GET on the way, and the key might go where nobody meant it to.
                response = self._session.post(self._url, json=body, timeout=self._timeout_s, allow_redirects=False)
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                problem = f"gives no answer ({type(error).__name__})"
                continue
            except requests.RequestException as error:
                raise RuntimeError(f"{self._url} cannot be asked: {error}") from error
            if response.status_code == requests.codes.ok:
                return self._content(response)
            problem = f"answers {response.status_code}: {self._shown(response)}"
            if response.status_code not in _TRY_AGAIN and response.status_code < 500:
                raise RuntimeError(f"{self._url} {problem}")
            asked_s = retry_after_s(response.headers.get("Retry-After"))
            if asked_s > self._max_wait_s:
                raise RuntimeError(f"{self._url} {problem} (and asks to wait for {asked_s:.0f} s)")
            wait_s = max(wait_s, asked_s)
        raise RuntimeError(f"{self._url} {problem}, after {self._retries + 1} tries")

    def _authorised(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # As a function even without a key: else requests sends what a .netrc has for the host.
        if self._key is not None:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _keep_pace(self) -> None:
        if not self._interval_s:
            return
        with self._lock:
            now_s = time.monotonic()
            at_s = max(now_s, self._next_s)
            self._next_s = at_s + self._interval_s
        time.sleep(at_s - now_s)

    def _content(self, response: requests.Response) -> str:
        try:
            choice = response.json()["choices"][0]
            content, finish_reason = choice["message"]["content"], choice.get("finish_reason")
            words = content.split()
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise RuntimeError(f"{self._url} gives no chat completion: {self._shown(response)}") from error
        if finish_reason == "length":
            raise RuntimeError(f"{self._url} gives an answer that max_tokens cuts off")
        if not words:
            raise RuntimeError(f"{self._url} gives an empty answer")
        return " ".join(words)

    def _shown(self, response: requests.Response) -> str:
        """The beginning of an answer; some endpoints quote the key when they refuse it."""
        text = " ".join(response.text.split())
        return (text.replace(self._key, "…") if self._key else text)[:_SHOWN]


def retry_after_s(value: str | None) -> float:
    """Seconds that a Retry-After header (RFC 9110, 10.2.3) asks for; 0 where it is missing or means nothing.

    >>> retry_after_s("7"), retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT"), retry_after_s("soon"), retry_after_s(None)
    (7.0, 0.0, 0.0, 0.0)
    """
    if value is None:
        return 0.0
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0
