"""Whisper over batches of windows: spectra, encoder, greedy decoder, times of words. For one loaded model each.

openai-whisper's own `transcribe` goes through one recording, window after window. Its model, tokeniser and rules are
used here; the loop over tokens is ours, because all windows of a batch go through it together: the rules for times are
arithmetic on the whole batch instead of a loop over its rows, the cross-attention's keys are computed once for language
and text, and windows that have ended leave the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from audiocur.audio import VOICE_RATE_HZ, Samples
from audiocur.lyrics.transcript import Word
from audiocur.lyrics.windowed import Heard, Line
from audiocur.lyrics.windows import lines_of

if TYPE_CHECKING:
    import torch

WINDOW_S = 30.0
TIME_STEP_S = 0.02  # from one token of time to the next
#: Where a text may begin at the latest, in those steps: Whisper's `max_initial_timestamp` of 1 s.
_LAST_INITIAL_TIME = 50


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What the decoder made of a window.

    Attributes:
        tokens: text and times, without what comes before and after.
        language: code of the language it was decoded as.
        logprob: mean over the tokens and the one that ends them.
        no_speech_prob: of the token that stands for silence, at the start.
    """

    tokens: list[int]
    language: str
    logprob: float
    no_speech_prob: float


def tokenizer_of(model: Any, language: str = "en") -> Any:
    """The model's tokeniser; it splits words as the language writes them."""
    from whisper.tokenizer import get_tokenizer

    return get_tokenizer(model.is_multilingual, num_languages=model.num_languages, language=language, task="transcribe")


def log_mels(model: Any, windows: Sequence[Samples]) -> torch.Tensor:
    """Log-mel spectra of windows of up to 30 s at 16 kHz, as Whisper's `transcribe` makes them.

    Args:
        model: a Whisper; the spectra are made on its device.
        windows: each of shape (samples,).

    Returns:
        Shape (windows, mels, 3000), float32; past the end of a window 0, which is what `transcribe` pads with.
    """
    import torch
    from whisper.audio import HOP_LENGTH, N_FFT, N_FRAMES, N_SAMPLES, mel_filters

    padded = np.zeros((len(windows), N_SAMPLES + N_FFT), np.float32)
    for row, samples in zip(padded, windows, strict=True):
        row[: len(samples)] = samples
    audio = torch.from_numpy(padded).to(model.device)
    hann = torch.hann_window(N_FFT, device=model.device)
    power = torch.stft(audio, N_FFT, HOP_LENGTH, window=hann, return_complex=True)[..., :-1].abs() ** 2
    mels = (mel_filters(model.device, model.dims.n_mels) @ power).clamp(min=1e-10).log10()
    # Of each window by itself: the loudest neighbour must not decide what counts as silence.
    mels = torch.maximum(mels, mels.amax(dim=(-2, -1), keepdim=True) - 8.0)
    mels = ((mels + 4.0) / 4.0)[..., :N_FRAMES]
    for row_mels, samples in zip(mels, windows, strict=True):
        row_mels[:, len(samples) // HOP_LENGTH :] = 0.0
    return mels


def encode(model: Any, windows: Sequence[Samples], dtype: torch.dtype) -> torch.Tensor:
    """The encoder's features of windows, shape (windows, 1500, width)."""
    features: torch.Tensor = model.encoder(log_mels(model, windows).to(dtype))
    return features


def decode(
    model: Any, features: torch.Tensor, *, languages: Sequence[str | None], leaders: Sequence[int], max_tokens: int
) -> list[Decoded]:
    """The likeliest token after each, under Whisper's rules, for all windows together.

    Args:
        model: a Whisper.
        features: as from `encode`.
        languages: of each window, null where it is to be heard.
        leaders: of each window, the row whose language it takes: its own, or one of the same recording's.
        max_tokens: where a window ends at the latest.
    """
    import torch

    tokenizer = tokenizer_of(model)
    rules = _Rules(tokenizer, model.device)
    rows = list(range(features.shape[0]))  # which window each row of the batch is
    sampled: list[list[int]] = [[] for _ in rows]
    sums = torch.zeros(len(rows), device=model.device)
    live = torch.ones(len(rows), dtype=torch.bool, device=model.device)
    cache, hooks = model.install_kv_cache_hooks()
    try:
        tokens = torch.full((len(rows), 1), tokenizer.sot, device=model.device)
        logits = model.decoder(tokens, features, kv_cache=cache)[:, -1]
        no_speech = logits.float().softmax(dim=-1)[:, tokenizer.no_speech].tolist()
        spoken = _languages(tokenizer, logits, languages, leaders) if model.is_multilingual else ["en"] * len(rows)
        if model.is_multilingual:
            # One by one: where the cache holds something, the model takes single tokens only.
            for column in ([tokenizer.to_language_token(code) for code in spoken], [tokenizer.transcribe] * len(rows)):
                tokens = torch.tensor(column, device=model.device)[:, None]
                logits = model.decoder(tokens, features, kv_cache=cache)[:, -1]
        for step in range(max_tokens):
            chosen, logprob = rules.choose(logits.float())
            sums[rows] += torch.where(live, logprob, 0.0)
            live = live & (chosen != tokenizer.eot)
            said = torch.where(live, chosen, tokenizer.eot).tolist()  # once a step the device is waited for
            living = [token != tokenizer.eot for token in said]
            for row, token, lives in zip(rows, said, living, strict=True):
                if lives:
                    sampled[row].append(token)
            if not any(living) or step == max_tokens - 1:
                break
            if 4 * sum(living) <= 3 * len(living):  # not for every single one: it copies all keys and values
                rules.keep(live)
                cache.update({module: kept[live] for module, kept in cache.items()})
                rows = [row for row, lives in zip(rows, living, strict=True) if lives]
                chosen, live = chosen[live], live[live]
            logits = model.decoder(chosen[:, None], features, kv_cache=cache)[:, -1]
    finally:
        for hook in hooks:
            hook.remove()
    return [
        Decoded(tokens=tokens, language=language, logprob=total / (len(tokens) + 1), no_speech_prob=silence)
        for tokens, language, total, silence in zip(sampled, spoken, sums.tolist(), no_speech, strict=True)
    ]


def _languages(
    tokenizer: Any, logits: torch.Tensor, languages: Sequence[str | None], leaders: Sequence[int]
) -> list[str]:
    """Of each window the language that is given, else the likeliest of its leader."""
    codes = tokenizer.all_language_codes
    heard = logits[:, list(tokenizer.all_language_tokens)].argmax(dim=-1).tolist()
    return [given or codes[heard[leader]] for given, leader in zip(languages, leaders, strict=True)]


class _Rules:
    """What may follow what, as whisper.decoding has it with times and temperature 0, on all rows together."""

    def __init__(self, tokenizer: Any, device: Any) -> None:
        import torch

        specials = ("transcribe", "translate", "sot", "sot_prev", "sot_lm", "no_speech", "no_timestamps")
        never = {*tokenizer.non_speech_tokens, *(getattr(tokenizer, name) for name in specials)}
        self.never = torch.tensor(sorted(never), device=device)
        self.eot, self.begin = tokenizer.eot, tokenizer.timestamp_begin
        # Of each row: whether its last two tokens were times, and the last time.
        self.last_timed = self.before_timed = torch.zeros(0, dtype=torch.bool, device=device)
        self.last_time = torch.zeros(0, dtype=torch.int64, device=device)

    def keep(self, rows: torch.Tensor) -> None:
        """Forget all rows but these."""
        self.last_timed, self.before_timed = self.last_timed[rows], self.before_timed[rows]
        self.last_time = self.last_time[rows]

    def choose(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The next token of each row and its log-probability among those allowed; `logits` are overwritten."""
        import torch

        first, infinity = not self.last_timed.numel(), float("inf")
        logits.index_fill_(1, self.never, -infinity)
        text, times = logits[:, : self.begin], logits[:, self.begin :]
        if first:
            # A text begins with a time, of the first second.
            text = torch.full_like(text[:, :1], -infinity)
            times[:, _LAST_INITIAL_TIME + 1 :] = -infinity
        else:
            # Times come in pairs, the end of a line and the start of the next; none goes back, no line has no length.
            must_be_time = self.last_timed & ~self.before_timed
            must_be_text = self.last_timed & self.before_timed
            earliest = torch.where(must_be_time, self.last_time, self.last_time + 1)
            too_early = torch.arange(times.shape[1], device=logits.device) < earliest[:, None]
            text[:, : self.eot].masked_fill_(must_be_time[:, None], -infinity)
            times.masked_fill_(must_be_text[:, None] | too_early, -infinity)
        best_text, text_token = text.max(dim=-1)
        best_time, time_token = times.max(dim=-1)
        # Where all times together are likelier than any other token, it is a time.
        all_times = times.logsumexp(dim=-1)
        timed = all_times > best_text
        allowed = torch.where(timed, all_times, torch.logaddexp(text.logsumexp(dim=-1), all_times))
        chosen = torch.where(timed, time_token + self.begin, text_token)
        logprob = torch.where(timed, best_time, best_text) - allowed
        # What comes before the text counts as a time.
        self.before_timed = torch.ones_like(timed) if first else self.last_timed
        self.last_time = time_token if first else torch.where(timed, time_token, self.last_time)
        self.last_timed = timed
        return chosen, logprob


def heard_in(model: Any, decoded: Decoded, features: torch.Tensor, *, samples: int, words: bool) -> Heard:
    """What a window's tokens say.

    Args:
        model: a Whisper.
        decoded: its tokens.
        features: of the window, shape (1500, width).
        samples: in the window, at 16 kHz.
        words: whether to find when each is sung.
    """
    tokenizer = tokenizer_of(model, decoded.language)
    lines = [
        (start_s, end_s, text)
        for start_s, end_s, tokens in lines_of(
            decoded.tokens,
            timestamp_begin=tokenizer.timestamp_begin,
            precision_s=TIME_STEP_S,
            window_s=samples / VOICE_RATE_HZ,
        )
        # Without the languages' own tokens, which the rules let through.
        if tokenizer.decode(text := [token for token in tokens if token < tokenizer.eot]).strip()
    ]
    timed = _timed_words(model, tokenizer, features, lines, samples) if words and lines else [None] * len(lines)
    return Heard(
        lines=tuple(
            Line(start_s=start_s, end_s=end_s, text=tokenizer.decode(text), tokens=len(text), words=of_line)
            for (start_s, end_s, text), of_line in zip(lines, timed, strict=True)
        ),
        language=decoded.language,
        logprob=decoded.logprob,
        no_speech_prob=decoded.no_speech_prob,
    )


def _timed_words(
    model: Any, tokenizer: Any, features: torch.Tensor, lines: Sequence[tuple[float, float, list[int]]], samples: int
) -> Sequence[tuple[Word, ...] | None]:
    """When each word is sung, by the cross-attention, as `word_timestamps` of Whisper's own `transcribe` has it."""
    from whisper.audio import HOP_LENGTH
    from whisper.timing import add_word_timestamps

    segments: list[dict[str, Any]] = [
        {"seek": 0, "start": start_s, "end": end_s, "tokens": text} for start_s, end_s, text in lines
    ]
    add_word_timestamps(
        segments=segments,
        model=_Encoded(model),
        tokenizer=tokenizer,
        mel=features,
        num_frames=samples // HOP_LENGTH,
        last_speech_timestamp=0.0,
    )
    return [
        tuple(
            Word(
                word=word["word"],
                start_s=float(word["start"]),
                end_s=float(word["end"]),
                probability=float(word["probability"]),
            )
            for word in segment.get("words", ())
        )
        for segment in segments
    ]


class _Encoded:
    """A Whisper that takes features where spectra are expected."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(self, features: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model.decoder(tokens, features)
        return logits
