from tests.fakes.retriever import FakeRetriever, passage
from voicehelper.documents.sentences import split_sentences
from voicehelper.rag.citations import Support, cite, spelled_out
from voicehelper.rag.citations import align as align_spans
from voicehelper.rag.context import Context, build_context

REFUND = passage("验收合格后发起退款。微信支付即时到账。银行卡需要1至5个工作日。", "退款.md", ("退款",), page=2)
FEES = passage("质量问题的退货运费由商家承担。无理由退货的运费由买家承担。", "运费.md")


def context_of(*passages, query: str = "退款到账 退货运费"):  # type: ignore[no-untyped-def]
    return build_context(query, FakeRetriever(passages).found, 500)


def align(answer: str, context: Context, question: str = "退款到账") -> list[Support]:
    return align_spans(answer, split_sentences(answer), context, question)


def test_each_sentence_gets_its_source() -> None:
    context = context_of(REFUND, FEES)
    answer = "银行卡退款需要1至5个工作日。质量问题的退货运费由商家承担。"
    citations = cite(align(answer, context), context)
    assert [(c.document_name, c.quote) for c in citations] == [
        ("退款.md", "银行卡需要1至5个工作日。"),
        ("运费.md", "质量问题的退货运费由商家承担。"),
    ]
    assert [answer[c.start : c.end] for c in citations] == [answer[:15], answer[15:]]
    assert [c.index for c in citations] == [1, 2]
    assert citations[0].page == 2 and citations[0].heading == ("退款",)
    assert all(c.quote in p.text for c, p in zip(citations, (REFUND, FEES), strict=True))


def test_numbers_must_match() -> None:
    context = context_of(REFUND)
    assert cite(align("银行卡需要1至9个工作日。", context), context) == ()
    assert cite(align("银行卡需要一至五个工作日。", context), context) != ()


def test_invented_sentences_carry_none() -> None:
    context = context_of(REFUND)
    supports = align("微信支付即时到账。祝您生活愉快，欢迎再次光临！", context)
    assert [bool(support.sources) for support in supports] == [True, False]


def test_traditional_and_full_width_forms_match() -> None:
    context = context_of(REFUND)
    assert cite(align("銀行卡需要１至５個工作日。", context), context)[0].quote == "银行卡需要1至5个工作日。"


def test_a_sentence_may_rest_on_two() -> None:
    context = context_of(REFUND)
    citations = cite(align("微信支付即时到账，银行卡需要1至5个工作日。", context), context)
    assert {c.quote for c in citations} == {"微信支付即时到账。", "银行卡需要1至5个工作日。"}
    assert {c.index for c in citations} == {1}


def test_an_english_answer_rests_on_a_chinese_source_by_its_numbers() -> None:
    context = context_of(REFUND)
    assert cite(align("It takes 1 to 5 business days.", context), context)[0].quote == "银行卡需要1至5个工作日。"
    assert cite(align("It is quick.", context), context) == ()


def test_nothing_to_align() -> None:
    context = context_of(REFUND)
    assert align("", context) == [] and align("。。。", context) == []


def test_a_short_answer_borrows_the_questions_words() -> None:
    context = context_of(REFUND, FEES)
    (citation,) = cite(align("由商家。", context, "质量问题的退货运费谁出？"), context)
    assert citation.quote == "质量问题的退货运费由商家承担。"
    (citation,) = cite(align("5个工作日。", context, "银行卡多久到账？"), context)
    assert citation.quote == "银行卡需要1至5个工作日。"
    assert cite(align("9个工作日。", context, "银行卡多久到账？"), context) == ()


def test_a_summary_of_a_table_rests_on_its_rows() -> None:
    rows = ["充值方式：网银，生效时间：2 小时内", "充值方式：转账，生效时间：3 天", "充值方式：现金，生效时间：5 天"]
    context = context_of(passage("\n".join(rows), "充值.md"), query="充值多久生效")
    answer = "网银充值2小时内生效，转账3天，现金5天。"
    assert {c.quote for c in cite(align(answer, context, "充值多久生效"), context)} == set(rows)
    assert cite(align(answer.replace("5", "6"), context, "充值多久生效"), context) == ()


def test_a_no_rests_only_on_a_sentence_that_says_no() -> None:
    context = context_of(passage("旅行箱重 3 千克，有灰色的。", "旅行箱.md"), query="旅行箱有绿色的吗")
    assert cite(align("没有。", context, "旅行箱有绿色的吗"), context) == ()
    context = context_of(passage("旅行箱只有灰色的。", "旅行箱.md"), query="旅行箱有绿色的吗")
    assert cite(align("没有。", context, "旅行箱有绿色的吗"), context) != ()


def test_what_makes_a_bare_answer_one() -> None:
    context = context_of(FEES, query="无理由退货的运费要买家出吗")
    quote = "无理由退货的运费由买家承担。"
    assert spelled_out("要。", context, "无理由退货的运费要买家出吗") == quote
    assert spelled_out("要买家出。", context, "无理由退货的运费要买家出吗") == quote
    assert spelled_out("由买家承担。", context, "无理由退货的运费要买家出吗") == ""
