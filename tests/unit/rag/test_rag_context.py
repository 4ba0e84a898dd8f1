from tests.fakes.retriever import FakeRetriever, passage
from voicehelper.rag.context import build_context
from voicehelper.rag.evidence import weigh
from voicehelper.rag.tokens import estimate_tokens

REFUND = "仓库验收合格后发起退款。微信支付即时到账。银行卡需要1至5个工作日。超过时限未到账，请联系客服。"
OTHER = "耳机支持主动降噪。充电十分钟可听歌两小时。防水等级为IPX4。"


def found(*passages, dense: float = 0.9):  # type: ignore[no-untyped-def]
    return FakeRetriever(passages, dense).found


def test_chooses_the_sentences_that_answer_within_the_budget() -> None:
    passages = found(passage(OTHER, "耳机.md"), passage(REFUND, "退款.md", ("退款", "到账时间")))
    context = build_context("银行卡退款几个工作日到账？", passages, 18)
    text = context.render()
    assert "银行卡需要1至5个工作日。" in text
    assert "降噪" not in text
    assert estimate_tokens(text) <= 40
    assert text.startswith("【到账时间】")


def test_keeps_text_order_and_marks_gaps() -> None:
    context = build_context("微信退款到账，联系客服", found(passage(REFUND, "退款.md")), 30)
    text = context.render()
    assert text.index("微信") < text.index("联系客服")
    assert "…" in text


def test_everything_fits_a_large_budget_and_quotes_are_verbatim() -> None:
    passages = found(passage(REFUND), passage(OTHER))
    context = build_context("退款", passages, 1000)
    for sentence in context.shown():
        assert passages[sentence.passage].passage.text[sentence.start : sentence.end] == sentence.text
    assert context.chosen


def test_a_label_goes_with_the_sentences_below_it() -> None:
    manual = "规格参数\n电池容量：5000毫安时\n恢复出厂设置\n长按电源键8秒后松开。\n保养\n用干布擦拭。"
    text = build_context("怎么恢复出厂设置", found(passage(manual, "手册.pdf")), 20).render()
    assert "[恢复出厂设置] 长按电源键8秒后松开。" in text
    assert "保养" not in text


def test_own_words_of_a_follow_up_count_more() -> None:
    one, two = passage("P10 的电池容量是一万毫安。重量很轻。", "P10.md"), passage("P20 的颜色是白色。", "P20.md")
    query = "P10 的电池容量是多少？ 那 P20 的颜色呢？"
    context = build_context(query, found(one, two), 14, "那 P20 的颜色呢？")
    assert "白色" in context.render()


def test_nothing_retrieved() -> None:
    context = build_context("退款", [], 100)
    assert context.render() == "" and not weigh(context, "退款").enough


def test_english() -> None:
    english = passage("Refunds take 3 days. We ship within 48 hours. Batteries are not shipped.", "refunds.html")
    text = build_context("How long do refunds take?", found(english), 8).render()
    assert "Refunds take 3 days." in text and "48" not in text


def test_evidence_refuses_what_is_far_away() -> None:
    near, far = found(passage(REFUND), dense=0.9), found(passage(REFUND), dense=0.7)
    assert weigh(build_context("退款多久到账", near, 100), "退款多久到账").enough
    assert not weigh(build_context("今天天气", far, 100), "今天天气").enough


def test_evidence_refuses_an_unknown_model() -> None:
    passages = found(passage("电饭煲 C6 一次煮 11 碗。", "C6.md"))
    context = build_context("电饭煲 C8 一次煮多少碗？", passages, 100)
    evidence = weigh(context, "电饭煲 C8 一次煮多少碗？")
    assert evidence.unknown_codes == ("c8",) and not evidence.enough
    assert weigh(context, "电饭煲 C6 煮多少碗？").enough
    assert weigh(context, "电饭煲 c-6 煮多少碗？").enough


TABLE = "\n".join(
    [
        "审核要多久",
        "- 充值申请一般 24 小时内审核。",
        "通过之后多久生效",
        "不同充值方式的生效时间不同：",
        "充值方式：网银，生效时间：2 小时内",
        "充值方式：转账，生效时间：1 至 2 天",
        "充值方式：现金，生效时间：5 天",
    ]
)


def test_a_heading_with_the_questions_phrase_wins_and_its_table_stays_whole() -> None:
    text = build_context("充值多久生效？", found(passage(TABLE, "充值说明.md")), 60).render()
    assert "[通过之后多久生效]" in text
    assert TABLE[TABLE.index("充值方式：") :] in text


def test_a_line_break_within_a_sentence_does_not_cut_it() -> None:
    manual = "安装前请把底座放平并让指示灯朝外，底座只能用随机附带的\n电源线，不能接其他电源线。保修一年。"
    context = build_context("能用其他电源线吗", found(passage(manual, "底座.pdf")), 60)
    assert "只能用随机附带的 电源线，不能接其他电源线。" in context.render()
    assert any(sentence.text in manual and "\n" in sentence.text for sentence in context.shown())


def test_manuals_of_other_products_stay_out_when_one_of_its_own_is_there() -> None:
    mine, other = passage("内胆厚 2 毫米。", "电饭煲 C8 说明.pdf"), passage("内胆厚 3 毫米。", "电饭煲 C6 说明.pdf")
    assert "3 毫米" not in build_context("C8 的内胆多厚？", found(other, mine), 100).render()
    assert "3 毫米" in build_context("C9 的内胆多厚？", found(other, mine), 100).render()


def test_the_document_about_the_subject_comes_first() -> None:
    aside = passage("办证\n购买套餐时可以办证。", "套餐.md")
    guide = passage("证件分为两种，均可在线办理。", "证件指南.md")
    text = build_context("可以办证件吗？", found(aside, guide), 100).render()
    assert text.startswith("【证件指南】")


def test_across_languages_the_cosine_decides() -> None:
    english, chinese = passage("We ship within 48 hours.", "ship.html"), passage("登录页可以重置密码。", "账号.md")
    context = build_context("How do I reset my password?", found(english, chinese, dense=0.82), 100)
    assert context.render().startswith("【账号】")
    assert weigh(context, "How do I reset my password?").enough
    assert not weigh(build_context("重置密码", found(english, dense=0.75), 100), "重置密码").enough
