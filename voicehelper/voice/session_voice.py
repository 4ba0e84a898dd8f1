"""Which of the synthesiser's voices a call has: one, whatever languages its clauses are in."""

from voicehelper.errors import InvalidInput
from voicehelper.ports.speech import TextToSpeechInfo
from voicehelper.voice.commands import SpeechChoices
from voicehelper.voice.speaker_voice import Manner


def voice_for(language: str, info: TextToSpeechInfo, default: str = "") -> str:
    """`default` (the setting `tts.voice`), or the first voice whose own language it is, or that knows it, or at all;
    empty where there is none, or no language."""
    if default or not language:
        return default
    own = [voice.name for voice in info.voices if voice.languages[:1] == (language,)]
    known = [voice.name for voice in info.voices if language in voice.languages]
    return next(iter([*own, *known, *(voice.name for voice in info.voices)]), "")


def manner_of(choices: SpeechChoices, info: TextToSpeechInfo, default: str = "", kept: str = "") -> Manner:
    """How the session speaks. `kept`: the voice that it had, if it is to keep it. The voice is empty until something is
    said in a session without a language."""
    if kept not in {voice.name for voice in info.voices}:
        kept = ""
    voice = choices.voice or kept or voice_for(choices.language, info, default)
    return Manner(voice, choices.style, choices.speed)


def check_voice(choices: SpeechChoices, info: TextToSpeechInfo) -> None:
    """Raises `InvalidInput` where the model has no such voice."""
    names = [voice.name for voice in info.voices]
    if choices.voice and names and choices.voice not in names:
        raise InvalidInput("No such voice", {"voices": names[:100]})
