import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicehelper.documents.cleaning import clean_code, clean_line, clean_text


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("a\x00b\x07c", "abc"),
        ("退\u200b款\ufeff到\u00ad账", "退款到账"),
        ("  多  个\t空格\u3000和\u00a0全角  ", "多 个 空格 和 全角"),
        ("一\r\n\r\n\n二\r三", "一\n二\n三"),
        (
            "ＫＱ－５　１５００Ｗ，（含税）",
            "KQ－5 1500W，（含税）",
        ),  # letters and digits fold, Chinese punctuation stays
        ("①②㎡ m²", "①②㎡ m²"),
        ("e\u0301", "é"),
        ("ﬁle ﬂow", "file flow"),
        ("⽤⼾⻚⻢", "用户页马"),  # radicals as PDF fonts emit them
        ("\ue000\uf0b7项目", "项目"),
        ("\u202e反向\u202c", "反向"),
        ("中\u200d文", "中文"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("lone \ud800 surrogate", "lone surrogate"),
    ],
)
def test_examples(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


def test_code_keeps_its_indentation() -> None:
    assert clean_code("def f():\n\treturn 1  \n\n\n  x\x00") == "def f():\n    return 1\n  x"


@given(st.text())
def test_cleaning_is_idempotent_and_leaves_storable_text(text: str) -> None:
    clean = clean_text(text)
    assert clean_text(clean) == clean
    assert unicodedata.is_normalized("NFC", clean)
    clean.encode("utf-8")
    assert "\x00" not in clean
    assert "\n" not in clean_line(text)
    assert all(line == line.strip() and line for line in clean.split("\n")) or clean == ""
