import pytest

from voicehelper.voice.sound_alike import SoundAlikes, terms_of

SHOP = (
    "退款到账时间说明。退款会在三到五个工作日内到账，信用卡退款到账要七个工作日，储蓄卡到账更快。到账后会通知。",
    "扫地机器人说明书：扫地机器人支持无线网，频段是2.4G。扫地机器人的集尘袋要更换。",
    "戴着耳机可以游泳吗？运费按收货地区计算，首重一公斤，运费在订单里。保修期一年，保修期从签收算起。",
)


@pytest.fixture(scope="module")
def alikes():
    return SoundAlikes(terms_of(SHOP))


@pytest.mark.parametrize(
    ("heard", "meant"),
    [
        ("推款多久到仗,我是用西用卡付的。", "退款多久到账,我是用信用卡付的。"),
        ("S10 嫂地基器人能连5G的五线网吗?", "S10 扫地机器人能连5G的无线网吗?"),
        ("它的保修器是多久。", "它的保修期是多久。"),
        ("云废怎么算", "云废怎么算"),  # both characters are others: too little evidence for two syllables
        ("推货帝区", "推货地区"),
    ],
)
def test_what_sounds_like_a_word_of_the_documents_becomes_it(alikes, heard, meant):
    assert alikes.correct(heard) == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "refund 2.4G!",
        "退款到账",
        "收到张三的快递",  # 到张 lies across a word
        "他到账了没有",
        "我是不是要付钱",
        "花呗怎么还不上",  # unknown names stay
        "十一点到帐篷里",
        "㐀㐁㐂",
    ],
)
def test_everything_else_stays_as_it_is(alikes, text):
    assert alikes.correct(text) == text


def test_a_text_keeps_its_length_and_a_second_time_changes_nothing(alikes):
    for text in ("推款推款推款到仗", "嫂地基器人嫂地基器人", "西用卡" * 50):
        once = alikes.correct(text)
        assert len(once) == len(text)
        assert alikes.correct(once) == once


def test_without_terms_nothing_changes():
    assert SoundAlikes(()).correct("推款") == "推款"
    assert len(SoundAlikes(["ok", "账", "一" * 9, "退款", "退款"])) == 1


def test_terms_are_words_and_frequent_pairs_of_words():
    terms = terms_of(SHOP)
    assert {"退款", "到账", "信用卡", "扫地机器人"} <= set(terms)
    assert all(1 < len(term) <= 8 for term in terms)
    assert not {"一二", "十个"} & set(terms)
