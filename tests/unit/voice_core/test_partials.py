import pytest

from voicehelper.voice.partials import agreed, extend


@pytest.mark.parametrize(
    ("before", "now", "common"),
    [
        ("退款多久", "退款多久到账。", "退款多久"),
        ("空气炸锅,KT3的篮子。", "空气炸锅、KT3的篮子能丢", "空气炸锅、KT3的篮子"),
        ("登录密码想不起。", "登录密码想不起来了", "登录密码想不起"),
        ("how much is ship", "how much is shipping", "how much is"),
        ("how much is it", "how much is it?", "how much is it"),
        ("I want", "I want a refund", "I want"),
        ("推款", "退款", ""),
        ("", "退款", ""),
        ("。", "，", ""),
    ],
)
def test_two_hypotheses_agree_whatever_their_marks(before, now, common):
    assert agreed(before, now) == common


def test_a_stable_prefix_grows_over_marks_that_come_and_go():
    stable, shown = "", ""
    for before, now in (
        ("空气", "空气炸锅,KT3的"),
        ("空气炸锅,KT3的", "空气炸锅、KT3的篮子。"),
        ("空气炸锅、KT3的篮子。", "空气炸锅KT3的篮子能洗吗"),
    ):
        known = stable
        stable, shown = extend(stable, before, now)
        assert stable.startswith(known)
        assert shown.startswith(stable)
    assert (stable, shown) == ("空气炸锅、KT3的篮子", "空气炸锅、KT3的篮子能洗吗")


def test_what_was_stable_stays_though_the_recogniser_changes_its_mind():
    stable, shown = extend("推款", "推款多久", "退款多久到")
    assert (stable, shown) == ("推款", "推款多久到")
