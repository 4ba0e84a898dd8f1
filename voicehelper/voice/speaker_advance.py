"""The sound of our own phrases, made before anybody waits for it."""

import asyncio
from dataclasses import replace

from voicehelper.voice.acknowledgements import our_phrases
from voicehelper.voice.session_voice import voice_for
from voicehelper.voice.speaker_voice import Sound, SpeakingVoice

_BREATH_S = 1.0  # between two phrases: callers come first


async def make_in_advance(voice: SpeakingVoice, default: str = "", languages: tuple[str, ...] = ("zh", "en")) -> None:
    """Have the cache hold our phrases in the manner of `voice`, but in the voice of calls in each language; ends early
    when the synthesiser is away. `default`: the setting `tts.voice`."""
    for phrases in zip(*(tuple(our_phrases(language)) for language in languages), strict=False):
        for phrase, language in zip(phrases, languages, strict=True):
            sound = Sound()
            voice.manner = replace(voice.manner, voice=voice_for(language, voice.info, default))
            await voice.make(phrase, language, sound, frequent=True)
            if sound.error is not None:
                return
            await asyncio.sleep(_BREATH_S)
