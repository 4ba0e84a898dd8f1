"""Whisper on CTranslate2: a batch of utterances, encoded and decoded together."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import numpy.typing as npt
import opencc

from actors.listening.log_mel import HOP, RATE, LogMel
from actors.stt import guards
from actors.stt.tokens import WhisperTokens
from actors.stt.word_times import word_times
from voicehelper.ports.speech import Recognition, SpeechToTextInfo, Transcript, Word
from voicehelper.telemetry import get_logger

Samples = npt.NDArray[np.float32]
Mel = npt.NDArray[np.float32]

LONGEST_S = 30.0
# The model knows windows of 30 s. One cut to the utterance gives nearly always the same text for a third of the time
# (docs/voice-recognition.md), if there is silence enough at its end for the model to see that it has ended.
PARTIAL_MARGIN_S = 3.0
FINAL_MARGIN_S = 4.0
SHORTEST_WINDOW_S = 5.0
TOKENS_PER_SECOND = 12  # more than anybody says; a loop ends there
EXTRA_TOKENS = 12
FINAL_BEAM = 5
UNEXPECTED = 0.1  # weight of a language that nobody expects
_FULL = 448  # the decoder's positions: half for the prompt, half for the text
_FRAMES = 1500  # of the encoder's output for the longest window
_log = get_logger(__name__)


@dataclass(slots=True)
class _Utterance:
    """A request on its way through the model."""

    request: Recognition
    samples: Samples
    language: str
    context: list[int]


class Whisper:
    """Implements `Recognizer`.

    Args:
        folder: of the CTranslate2 model.
        name: of the model, for `describe`.
        device: `cpu` (int8) or `cuda` (float16).
        threads: of one call, on a CPU.
        expected: languages that callers speak where they name none; empty for all alike.
    """

    def __init__(
        self, folder: Path, name: str, *, device: str = "cpu", threads: int = 2, expected: Sequence[str] = ()
    ) -> None:
        compute = "int8" if device == "cpu" else "float16"
        self._model: Any = ctranslate2.models.Whisper(
            str(folder), device=device, compute_type=compute, intra_threads=threads
        )
        self._mel = LogMel(self._model.n_mels)
        self._tokens = WhisperTokens(folder / "tokenizer.json")
        self._simplify = opencc.OpenCC("t2s")
        self._expected = tuple(expected)
        self.info = SpeechToTextInfo(name, "whisper", longest_s=LONGEST_S)

    def window(self, request: Recognition) -> float:
        """See `Recognizer`."""
        return window_of(len(request.audio) / 2 / RATE, request.final)

    def recognize(self, batch: Sequence[Recognition]) -> list[Transcript]:
        """See `Recognizer`. An utterance without any sound never reaches the model."""
        results = [Transcript("", request.language) for request in batch]
        groups: defaultdict[tuple[int, bool], list[int]] = defaultdict(list)
        loud = [index for index, request in enumerate(batch) if _level(request.audio) > guards.MIN_LEVEL]
        if not loud:
            return results
        features = self._features([batch[index] for index in loud])
        encoded = self._model.encode(_view(features), to_cpu=True)
        utterances = self._utterances([batch[index] for index in loud], encoded)
        for position, utterance in enumerate(utterances):
            groups[len(utterance.context), utterance.request.final].append(position)
        for positions in groups.values():
            chosen = [utterances[p] for p in positions]
            part = encoded if len(groups) == 1 else _rows(encoded, positions)
            for position, transcript in zip(positions, self._decode(chosen, part), strict=True):
                results[loud[position]] = transcript
        return results

    def _features(self, batch: Sequence[Recognition]) -> Mel:
        seconds = max(self.window(request) for request in batch)
        return np.stack([self._mel(_padded(_samples(request.audio), seconds)) for request in batch])

    def _utterances(self, batch: Sequence[Recognition], encoded: Any) -> list[_Utterance]:
        detected = self._detect(encoded) if any(not self._tokens.knows(r.language) for r in batch) else []
        utterances = []
        for index, request in enumerate(batch):
            language = request.language if self._tokens.knows(request.language) else detected[index]
            context = self._tokens.context(language, request.hot_words)
            utterances.append(_Utterance(request, _samples(request.audio), language, context))
        return utterances

    def _detect(self, encoded: Any) -> list[str]:
        return [self._likeliest(found) for found in self._model.detect_language(encoded)]

    def _likeliest(self, found: Sequence[tuple[str, float]]) -> str:
        def weight(language: str) -> float:
            return 1.0 if not self._expected or language in self._expected else UNEXPECTED

        languages = [(token.strip("<|>"), probability) for token, probability in found]
        return max(languages, key=lambda pair: pair[1] * weight(pair[0]))[0]

    def _decode(self, utterances: Sequence[_Utterance], encoded: Any) -> list[Transcript]:
        """Utterances whose contexts are equally long: the engine wants it so."""
        final = utterances[0].request.final
        longest = max(len(u.samples) for u in utterances) / RATE
        prompts = [[*u.context, *self._tokens.begin(u.language)] for u in utterances]
        most = int(EXTRA_TOKENS + TOKENS_PER_SECOND * longest)
        results = self._model.generate(
            encoded,
            prompts,
            beam_size=FINAL_BEAM if final else 1,
            max_length=min(_FULL, max(2 * most, len(prompts[0]) + most)),  # half of it at most is text, prompt included
            return_scores=True,
            return_no_speech_prob=True,
        )
        transcripts = []
        for index, (utterance, result) in enumerate(zip(utterances, results, strict=True)):
            one = (
                encoded if len(utterances) == 1 else _view(np.ascontiguousarray(np.asarray(encoded)[index : index + 1]))
            )
            transcripts.append(self._transcript(utterance, result, one))
        return transcripts

    def _transcript(self, utterance: _Utterance, result: Any, encoded: Any) -> Transcript:
        ids = [token for token in result.sequences_ids[0] if token < self._tokens.end]
        text, score, language = self._tokens.text(ids), float(result.scores[0]), utterance.language
        prompts = (self._tokens.decode(utterance.context[1:]),)
        if guards.hallucinated(text, result.no_speech_prob, score) or guards.echoes(text, prompts):
            _log.debug("stt.silenced", no_speech=round(result.no_speech_prob, 2), score=round(score, 2))
            return Transcript("", language, confidence=0.0)
        if guards.loops(text):
            if utterance.request.final and encoded.shape[1] < _FRAMES:
                return self._in_full(utterance)
            text, ids = guards.unrolled(text), []
        once = guards.said_once(text, len(utterance.samples) / RATE)
        if once != text:
            text, ids = once, []
        words: tuple[Word, ...] = ()
        if utterance.request.words and ids:
            frames = len(utterance.samples) // HOP
            words = word_times(self._model, self._tokens, encoded, ids, language, frames)
            words = tuple(replace(word, text=self._plain(word.text, language)) for word in words)
        return Transcript(self._plain(text, language), language, math.exp(min(0.0, score)), words)

    def _in_full(self, utterance: _Utterance) -> Transcript:
        """Once more, in a window as the model knows it: what loops in a short one seldom does there."""
        encoded = self._model.encode(_view(self._mel(_padded(utterance.samples, LONGEST_S))[None]), to_cpu=True)
        return self._decode([utterance], encoded)[0]

    def _plain(self, text: str, language: str) -> str:
        return str(self._simplify.convert(text)) if language == "zh" else text


def window_of(seconds: float, final: bool) -> float:
    """Seconds that the model takes in for an utterance of `seconds`: with a margin, in whole seconds."""
    margin = FINAL_MARGIN_S if final else PARTIAL_MARGIN_S
    return float(min(LONGEST_S, max(SHORTEST_WINDOW_S, math.ceil(seconds + margin))))


def _samples(audio: bytes) -> Samples:
    return np.frombuffer(audio, dtype="<i2").astype(np.float32) / 32768.0


def _padded(samples: Samples, seconds: float) -> Samples:
    return np.pad(samples, (0, max(0, int(seconds * RATE) - len(samples))))


def _level(audio: bytes) -> float:
    """The loudest tenth of a second, root mean square of full scale."""
    samples = _samples(audio)
    if not len(samples):
        return 0.0
    blocks = [samples[at : at + RATE // 10] for at in range(0, len(samples), RATE // 10)]
    return max(float(np.sqrt(np.mean(block**2))) for block in blocks)


def _rows(encoded: Any, positions: list[int]) -> Any:
    return _view(np.ascontiguousarray(np.asarray(encoded)[positions]))


def _view(values: npt.NDArray[np.float32]) -> Any:
    return ctranslate2.StorageView.from_array(values)
