"""The language model's captions, against a real HTTP server on this machine that speaks its API."""

from __future__ import annotations

import json
import pickle
import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from audiocur.errors import ConfigError
from audiocur.op import Device, OnError
from audiocur.ops.caption.llm import Llm, facts_of
from audiocur.records import Clip


def completion(text, finish_reason="stop"):
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice]}).encode()


@dataclass
class Reply:
    body: bytes = completion("A slow waltz.")
    status: int = 200
    headers: dict = field(default_factory=dict)
    after_s: float = 0.0
    cut: bool = False  # the connection ends before the body does


@dataclass
class Asked:
    path: str
    headers: dict
    body: dict
    at_s: float

    @property
    def prompt(self):
        (message,) = self.body["messages"]
        assert message["role"] == "user"
        return message["content"]


class Api(ThreadingHTTPServer):
    """Answers the n-th request with `reply(n, asked)`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.lock = [], threading.Lock()
        self.at_once = self.most_at_once = 0
        self.reply = lambda n, asked: Reply()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = Asked(self.path, dict(self.headers), body, time.monotonic())
        with self.server.lock:
            self.server.asked.append(asked)
            n = len(self.server.asked) - 1
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        reply = self.server.reply(n, asked)
        time.sleep(reply.after_s)
        with self.server.lock:
            self.server.at_once -= 1
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body) + reply.cut), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(reply.body)
        except BrokenPipeError:
            self.close_connection = True  # the client has given up, as some tests want it to
        if reply.cut:
            self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def api():
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def clip(i=0, **measures):
    measures = {"tags": [f"tag {i}"], **measures}
    return Clip(clip_id=f"{i:024x}", start_sample=0, end_sample=1, rate_hz=8000, measures=measures)


@pytest.fixture
def captioned(api):
    """Captions of clips, by an op whose pauses are short."""

    def run(*clips, **fields):
        op = Llm(model="tiny", **{"url": api.url, "backoff_s": 0.01, **fields})
        return [row["caption"] for row in op.measure_batch(clips, op.load(Device()))]

    return run


def test_the_facts_are_in_the_prompt_and_the_answer_is_the_caption(api, captioned):
    api.reply = lambda n, asked: Reply(completion("  A slow\nwaltz. "))
    clips = [clip(tags=["slow", "A minor"], tempo_bpm=61.53846, key=None, beats_per_bar=3, loudness_lufs=-14.0)]
    assert captioned(*clips, prompt="Say it: {facts}!") == ["A slow waltz."]
    (asked,) = api.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.prompt == "Say it: tags: slow, A minor\ntempo_bpm: 61.54\nbeats_per_bar: 3!"
    assert "Authorization" not in asked.headers
    del asked.body["messages"]
    assert asked.body == {"model": "tiny", "temperature": 0.0, "seed": 0, "max_tokens": 200}


def test_other_facts_are_named_by_a_parameter(api, captioned):
    captioned(clip(loudness_lufs=-14.0, beats_s=[0.5, 1.0]), facts=["loudness_lufs", "beats_s", "nowhere"])
    assert api.asked[0].prompt.endswith("\nloudness_lufs: -14\nbeats_s: [0.5, 1.0]")


def test_braces_in_facts_and_prompt_mean_nothing(api, captioned):
    captioned(clip(tags=["{model}", "{0}"]), prompt="{a} {facts}")
    assert api.asked[0].prompt == "{a} tags: {model}, {0}"


def test_a_clip_of_which_nothing_is_known_has_no_caption_and_makes_no_request(api, captioned):
    assert captioned(clip(1, tags=[], tempo_bpm=None), clip(2)) == [None, "A slow waltz."]
    assert len(api.asked) == 1


def test_a_seed_of_null_is_not_sent(api, captioned):
    captioned(clip(), seed=None, temperature=0.7, max_tokens=50)
    assert api.asked[0].body.keys() == {"model", "messages", "temperature", "max_tokens"}


def test_the_key_is_sent_as_bearer_token_and_never_shown(api, captioned, monkeypatch):
    monkeypatch.setenv("CAPTION_KEY", " sesame-open \n")
    captioned(clip(), api_key_env="CAPTION_KEY")
    assert api.asked[0].headers["Authorization"] == "Bearer sesame-open"
    api.reply = lambda n, asked: Reply(b"sesame-open is no key of ours", status=401)
    with pytest.raises(RuntimeError, match="answers 401: … is no key of ours") as refused:
        captioned(clip(), api_key_env="CAPTION_KEY")
    assert "sesame" not in str(refused.value)
    assert "sesame" not in repr(Llm(model="tiny", api_key_env="CAPTION_KEY"))


@pytest.mark.parametrize("value", [None, "", "  ", "sesame open", "sesame\nopen", "ключ"])
def test_a_key_that_cannot_be_is_refused_without_telling_it(monkeypatch, value):
    monkeypatch.delenv("CAPTION_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("CAPTION_KEY", value)
    with pytest.raises(ConfigError, match="api_key_env=CAPTION_KEY: expected an environment variable") as refused:
        Llm(model="tiny", api_key_env="CAPTION_KEY").load(Device())
    assert "sesame" not in str(refused.value)


def test_a_netrc_does_not_speak_for_the_user(api, captioned, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("CAPTION_KEY", "sesame")
    captioned(clip())
    captioned(clip(), api_key_env="CAPTION_KEY")
    assert [asked.headers.get("Authorization") for asked in api.asked] == [None, "Bearer sesame"]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_passes_is_tried_again(api, captioned, status):
    api.reply = lambda n, asked: Reply(status=status, body=b"busy") if n < 2 else Reply()
    assert captioned(clip()) == ["A slow waltz."]
    assert len(api.asked) == 3
    first, second, third = (asked.at_s for asked in api.asked)
    assert second - first >= 0.01
    assert third - second >= 0.02


@pytest.mark.parametrize("status", [400, 401, 404, 422, 307])
def test_what_does_not_pass_is_not_tried_again(api, captioned, status):
    api.reply = lambda n, asked: Reply(status=status, body=b"no\nsuch model", headers={"Location": "/elsewhere"})
    with pytest.raises(RuntimeError, match=f"answers {status}: no such model"):
        captioned(clip())
    assert len(api.asked) == 1


def test_errors_for_ever_are_an_error(api, captioned):
    api.reply = lambda n, asked: Reply(status=500, body=b"broken")
    with pytest.raises(RuntimeError, match="answers 500: broken, after 4 tries"):
        captioned(clip(), retries=3)
    assert len(api.asked) == 4


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_pause_that_is_asked_for_is_made(api, captioned, form):
    wanted = "1" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)  # a date has no fractions
    api.reply = lambda n, asked: Reply(status=429, headers={"Retry-After": wanted}) if n == 0 else Reply()
    assert captioned(clip()) == ["A slow waltz."]
    first, second = (asked.at_s for asked in api.asked)
    assert 0.9 <= second - first < 3


def test_a_pause_that_is_too_long_is_not_made(api, captioned):
    api.reply = lambda n, asked: Reply(status=429, headers={"Retry-After": "3600"}, body=b"daily limit")
    with pytest.raises(RuntimeError, match=r"answers 429: daily limit .and asks to wait for 3600 s"):
        captioned(clip())
    assert len(api.asked) == 1


def test_a_time_out_is_tried_again(api, captioned):
    api.reply = lambda n, asked: Reply(after_s=0.5 if n == 0 else 0)
    assert captioned(clip(), timeout_s=0.1) == ["A slow waltz."]
    assert len(api.asked) == 2


def test_a_time_out_for_ever_is_an_error(api, captioned):
    api.reply = lambda n, asked: Reply(after_s=0.3)
    with pytest.raises(RuntimeError, match=r"gives no answer .ReadTimeout., after 2 tries"):
        captioned(clip(), timeout_s=0.05, retries=1)


def test_an_answer_that_breaks_off_is_tried_again(api, captioned):
    api.reply = lambda n, asked: Reply(cut=n == 0)
    assert captioned(clip()) == ["A slow waltz."]
    assert len(api.asked) == 2


def test_an_endpoint_that_is_not_there_is_an_error():
    op = Llm(model="tiny", url="http://127.0.0.1:9/v1", backoff_s=0.01, retries=1)
    with pytest.raises(RuntimeError, match=r"gives no answer .ConnectionError., after 2 tries"):
        op.measure_batch([clip()], op.load(Device()))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>welcome</html>",
        b"[]",
        b"null",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": null}}]}',
    ],
)
def test_what_is_no_completion_is_an_error_at_once(api, captioned, body):
    api.reply = lambda n, asked: Reply(body)
    with pytest.raises(RuntimeError, match="gives no chat completion"):
        captioned(clip())
    assert len(api.asked) == 1


def test_half_a_sentence_is_no_caption(api, captioned):
    api.reply = lambda n, asked: Reply(completion("A slow waltz that", "length"))
    with pytest.raises(RuntimeError, match="max_tokens cuts off"):
        captioned(clip())


def test_an_empty_answer_is_no_caption(api, captioned):
    api.reply = lambda n, asked: Reply(completion(" \n"))
    with pytest.raises(RuntimeError, match="empty answer"):
        captioned(clip())


def test_answers_go_to_the_clips_that_they_are_for(api, captioned):
    # The earlier a request, the later its answer.
    api.reply = lambda n, asked: Reply(completion(asked.prompt), after_s=0.02 * (8 - n))
    captions = captioned(*map(clip, range(8)), prompt="{facts}")
    assert captions == [f"tags: tag {i}" for i in range(8)]


def test_no_more_requests_at_a_time_than_allowed(api, captioned):
    api.reply = lambda n, asked: Reply(after_s=0.05)
    captioned(*map(clip, range(9)), parallel=3)
    assert api.most_at_once == 3


def test_no_more_requests_a_second_than_allowed_retries_included(api, captioned):
    api.reply = lambda n, asked: Reply(status=429) if n == 0 else Reply()
    captioned(*map(clip, range(5)), requests_per_s=20, parallel=5)
    times = sorted(asked.at_s for asked in api.asked)
    assert len(times) == 6
    assert times[-1] - times[0] >= 5 / 20 - 0.02  # a request may be a little late, and the next in time


def test_clips_of_the_same_facts_share_a_request(api, captioned):
    assert captioned(clip(1, tags=["slow"]), clip(2, tags=["slow"])) == ["A slow waltz."] * 2
    assert len(api.asked) == 1


def test_one_clip_that_fails_costs_the_others_nothing_and_no_request_twice(api):
    api.reply = lambda n, asked: Reply(status=400, body=b"no") if "tag 2" in asked.prompt else Reply()
    op = Llm(model="tiny", url=api.url)
    model, clips = op.load(Device()), [*map(clip, range(4))]
    with pytest.raises(RuntimeError, match="answers 400"):
        op.measure_batch(clips, model)
    # As the engine does with a batch that failed: one by one.
    outcomes = []
    for each in clips:
        try:
            outcomes.append(op.measure_batch([each], model)[0]["caption"])
        except RuntimeError as error:
            outcomes.append(str(error).split()[-1])
    assert outcomes == ["A slow waltz.", "A slow waltz.", "no", "A slow waltz."]
    assert len(api.asked) == 4
    api.reply = lambda n, asked: Reply()
    assert op.measure_batch([clips[2]], model)[0]["caption"] == "A slow waltz."  # a refusal is told once, not kept


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "localhost:8000"},
        {"url": "file:///etc/passwd"},
        {"url": "http://"},
        {"url": "http://[::1/v1"},
        {"url": "https://me:mine@host/v1"},
        {"prompt": "no place for them"},
        {"facts": []},
        {"temperature": 2.5},
        {"max_tokens": 0},
        {"timeout_s": 0},
        {"retries": -1},
        {"backoff_s": 0},
        {"max_wait_s": 1e9},
        {"requests_per_s": 0},
        {"parallel": 0},
    ],
)
def test_parameters_out_of_range_are_refused(fields):
    with pytest.raises(ConfigError, match=f"{next(iter(fields))}="):
        Llm(model="tiny", **fields)


def test_it_travels_to_workers_and_leaves_a_clip_without_caption_by_default():
    op = Llm(model="tiny")
    assert pickle.loads(pickle.dumps(op)) == op
    assert op.on_error is OnError.null


def test_it_hears_nothing():
    silent = clip()
    Llm(model="tiny").prepare(silent)  # to decode it would raise: this one has no audio


@pytest.mark.parametrize("value", [None, [], ""])
def test_an_unknown_fact_is_left_out(value):
    assert facts_of({"key": value, "tags": ["slow"]}, ["key", "tags"]) == "tags: slow"
