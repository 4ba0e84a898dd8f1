import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicehelper.retrieval.analysis import analyse, fold, without_function_words


def test_fold_removes_width_case_and_script() -> None:
    assert fold("ＶＨ－Ｘ２００　退款說明") == "vh-x200 退款说明"


def test_traditional_and_simplified_have_the_same_terms() -> None:
    assert analyse("軟體的退貨說明") == analyse("软体的退货说明")


def test_three_views_of_chinese() -> None:
    terms = analyse("退款多久到账？")
    assert "退款" in terms.words
    assert "多久" in terms.words
    assert terms.bigrams == ("退款", "款多", "多久", "久到", "到账")
    assert terms.chars == ("退", "款", "多", "久", "到", "账")


def test_a_single_character_is_its_own_bigram() -> None:
    assert analyse("税").bigrams == ("税",)


@pytest.mark.parametrize("query", ["VH-X200-B", "vh-x200-b", "VHX200B", "vh_x200_b", "ＶＨ-Ｘ２００-B", "VH X200 B"])
def test_a_model_number_shares_terms_with_its_other_spellings(query: str) -> None:
    indexed = set(analyse("型号 VH-X200-B 的音箱").words)
    assert indexed & set(analyse(query).words)


def test_a_model_number_is_kept_whole_joined_and_in_parts() -> None:
    assert {"vh-x200-b", "vhx200b", "vh", "x200", "b", "200"} <= set(analyse("VH-X200-B").words)


def test_codes_are_in_the_bigrams_too() -> None:
    terms = analyse("GB/T 18894")
    assert terms.bigrams == terms.words
    assert "gbt" in terms.words


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("1,299.00元", {"1299.00", "1299"}),
        ("3.5折", {"3.5"}),
        ("2024-01-15", {"2024-01-15", "2024", "01", "15"}),
        ("C++ 和 C#", {"c++", "c#"}),
        ("iPhone15Pro", {"iphone15pro", "iphone", "15", "pro"}),
        ("a.b@c.com", {"a.b@c.com", "com"}),
        ("don't", {"don't", "dont"}),
    ],
)
def test_numbers_and_codes(text: str, terms: set[str]) -> None:
    assert terms <= set(analyse(text).words)


@pytest.mark.parametrize("text", ["", " \n\t", "？！……", "🎁👍🏽", "()*~^\"'\\", "+-&&||!", "\x00"])
def test_text_without_letters_or_digits_has_no_terms(text: str) -> None:
    terms = analyse(text)
    assert (terms.words, terms.bigrams, terms.chars) == ((), (), ())


def test_broken_surrogates_do_not_raise() -> None:
    assert "退款" in analyse("\ud800退款\udfff").words


def test_japanese_and_korean_have_bigrams() -> None:
    assert analyse("カメラ").bigrams == ("カメ", "メラ")
    assert analyse("배송비").bigrams == ("배송", "송비")


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_text_gives_terms_without_white_space(text: str) -> None:
    terms = analyse(text)
    for view in (terms.words, terms.bigrams, terms.chars):
        assert all(term and not any(char.isspace() for char in term) for term in view)


@given(st.text(alphabet="退款货到账vhX12-_./ ,.\n？", max_size=80))
@settings(max_examples=300, deadline=None)
def test_folding_first_changes_nothing(text: str) -> None:
    assert analyse(fold(text)) == analyse(text)


@pytest.mark.parametrize("text", ["退款" * 5000, "a-" * 5000, "1," * 5000, "9" * 10_000, "'" * 10_000, "x." * 5000])
def test_ten_thousand_characters_are_fine(text: str) -> None:
    assert all(len(term) <= 64 for term in analyse(text).words)


def test_english_function_words_are_left_out_of_a_query() -> None:
    assert without_function_words("How do I reset my password?").split() == ["reset", "password?"]
    assert without_function_words("IT 支持 VH-A 吗").split() == ["IT", "支持", "VH-A", "吗"]
    assert without_function_words("how are you") == "how are you"
