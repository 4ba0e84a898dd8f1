"""Text to phonemes, and phonemes to pieces."""

import pytest

from actors.tts.phonemes import Phonemizer, pieces
from actors.tts.phonemes.chinese import chinese
from actors.tts.phonemes.mixed import Sound
from actors.tts.phonemes.pieces import LONGEST
from actors.tts.phonemes.symbols import SYMBOLS, numbers


def from_letters(word):
    return f"<{word}>"


PHONEMIZER = Phonemizer(from_letters)


def said(text, language="zh", chinese_voice=True):
    return " ".join(sound.text for sound in PHONEMIZER(text, language, chinese_voice))


def test_the_alphabet_is_the_models():
    assert len(SYMBOLS) == 114
    assert (SYMBOLS[";"], SYMBOLS[" "], SYMBOLS["ꭧ"], SYMBOLS["↘"], SYMBOLS["ᵻ"]) == (1, 16, 23, 173, 177)
    assert numbers("a☃b") == [43, 44]


@pytest.mark.parametrize(
    ("text", "phonemes"),
    [
        ("银行", "i↗nxa↗ŋ"),
        ("行长", "xa↗ŋꭧa↓ŋ"),
        ("重新", "ꭧʰʊ↗ŋɕi→n"),
        ("还款", "xai↗kʰwa↓n"),
        ("我们", "wo↓mən"),
        ("是", "ʂɨ↘"),
        ("儿", "ɚ↗"),
        ("绿色", "ly↘sɤ↘"),
    ],
)
def test_chinese_characters_sound_as_in_their_word(text, phonemes):
    assert chinese(text) == phonemes
    assert set(phonemes) <= set(SYMBOLS)


@pytest.mark.parametrize(
    ("text", "phonemes"),
    [
        ("the order", "ði ˈɔɹdəɹ"),
        ("the apple", "ði ˈæpᵊl"),
        ("a refund", "ɐ ɹˈifˌʌnd"),
        ("to refund it", "tə ɹəfˈʌnd ɪt"),
        ("waited", "wˈATᵻd"),
        ("boxes", "bˈɑksᵻz"),
        ("shipping", "ʃˈɪpɪŋ"),
        ("USB", "jˌuˌɛsbˈi"),
        ("U S B", "jˌuˌɛsbˈi"),
        ("IT", "ˌItˈi"),
        ("it", "ɪt"),
        ("SIM", "sˈɪm"),
        ("APIs", "ˌApˌiˈIz"),
        ("the API's", "ði ˌApˌiˈIz"),
        ("it's", "ɪts"),
        ("it’s", "ɪts"),
        ("WeChat", "wiʧˈæt"),
        ("Zorbix", "<zorbix>"),
        ("5%", "fˈIv pəɹsˈɛnt"),
    ],
)
def test_english_words(text, phonemes):
    assert said(text, "en") == phonemes


def test_english_within_chinese_is_in_the_chinese_notation_for_chinese_voices_only():
    assert said("用 PayPal 付").split()[1] == "pʰˈeipʰˈæl"
    assert said("用 PayPal 付", chinese_voice=False).split()[1] == "pˈApˈæl"
    assert said("PayPal", "en") == "pˈApˈæl"


def test_what_has_no_sound_is_a_gap():
    assert said("☃ € \U0001f600 ") == ""
    assert said("9号") == chinese("九号")


def test_a_short_clause_is_one_piece_with_its_pause():
    (piece,) = pieces(PHONEMIZER("我帮您查一下，", "zh"))
    assert piece.phonemes.endswith(",")
    assert piece.pause_ms == 160


def test_sentences_and_long_clauses_are_pieces_of_their_own():
    text = "这款手机支持七天无理由退货，运费由我们承担。好的！“真的吗？”"
    assert [piece.phonemes[-1] for piece in pieces(PHONEMIZER(text, "zh"))] == [",", ".", "!", "”"]


def test_a_comma_near_either_end_does_not_cut():
    assert len(pieces(PHONEMIZER("您好，我帮您查一下订单的物流状态。", "zh"))) == 1


@pytest.mark.parametrize("text", ["", "。！？", "“”", "...", " \n\n "])
def test_nothing_to_say_is_no_piece(text):
    assert pieces(PHONEMIZER(text, "zh")) == []


@pytest.mark.parametrize("text", ["我" * 2000, "a" * 3000, "yes " * 1000, "您好 " * 500])
def test_no_piece_is_too_long_for_the_model(text):
    cut = pieces(PHONEMIZER(text, "zh"))
    assert len(cut) > 1
    assert all(len(piece.phonemes) <= LONGEST for piece in cut)


def test_a_run_without_end_is_cut_and_keeps_every_phoneme():
    cut = pieces([Sound("a" * 1000)])
    assert "".join(piece.phonemes for piece in cut) == "a" * 1000
