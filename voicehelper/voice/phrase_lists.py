"""Words and phrases that decide whose turn it is, in the form of `phrases.plain`: no marks, lower case, no apostrophe.
Sources: what users of peers complain of, and the usual lists of discourse markers of both languages."""


def _list(text: str) -> tuple[str, ...]:
    return tuple(" ".join(entry.split()) for entry in text.split("/"))


HUMS = _list(
    """
    嗯 / 恩 / 唔 / 哦 / 噢 / 喔 / 啊 / 诶 / 欸 / 哎 / 嘿 / 哈 / 呵 / 嗯哼 / 哼 / mm / mmm / mhm / mm hmm / mmhmm /
    mhmm / hm / hmm / hmmm / uh huh / uhhuh / oh / ah / aha / uhuh
    """
)

AFFIRMATIONS = _list(
    """
    对 / 对的 / 对啊 / 对呀 / 对吧 / 是 / 是的 / 是啊 / 是呀 / 好 / 好的 / 好吧 / 好啊 / 好呀 / 好嘞 / 行 / 行吧 /
    行啊 / 可以 / 没错 / 没事 / 明白 / 明白了 / 知道 / 知道了 / 我知道 / 我知道了 / 懂了 / 了解 / 了解了 / 收到 /
    这样 / 这样啊 / 这样子 / 原来如此 / 原来是这样 / 有道理 / 确实 / 当然 / 听着呢 / 我在听 / 你说 / 嗯呢 / ok /
    okay / k / yes / yeah / yep / yup / right / sure / got it / i see / alright / all right / good / great / cool /
    nice / exactly / of course / true / thats right / i know / i understand / understood / makes sense / go ahead /
    fine / interesting / wow / im listening / correct
    """
)

FILLERS = _list(
    """
    呃 / 额 / 那个 / 这个 / 就是 / 就是说 / 然后 / 嗯那个 / 那 / 那么 / 所以 / 怎么说呢 / um / umm / uh / uhh / er /
    erm / well / like / so / you know / i mean / let me think / and / but
    """
)

STOP = _list(
    """
    停 / 停下 / 停下来 / 停一下 / 停止 / 别说了 / 别讲了 / 不要说了 / 不要讲了 / 不用说了 / 先别说 / 先别说了 /
    别说话 / 别念了 / 不要念了 / 闭嘴 / 住口 / 住嘴 / 安静 / 安静点 / 安静一下 / 够了 / 打住 / 算了 / 行了 / 好了 /
    可以了 / 不用了 / 不听了 / stop / stop it / stop talking / stop please / please stop / shut up / be quiet /
    quiet / quiet please / silence / enough / thats enough / ok stop / okay stop / never mind / nevermind / forget it
    """
)

NUDGES = _list(
    """
    喂 / 喂喂 / 在吗 / 你在吗 / 还在吗 / 你还在吗 / 人呢 / 有人吗 / 听得到吗 / 你听得到吗 / 听得见吗 / 能听到吗 /
    好了吗 / 好了没 / 快点 / 怎么不说话 / 怎么不说话了 / hello / hello hello / are you there / you there /
    anybody there / can you hear me / still there / are you still there
    """
)

GO_ON = _list(
    """
    继续 / 继续说 / 接着说 / 接着讲 / 你继续 / 请继续 / 继续吧 / 说下去 / 往下说 / 你接着说 / go on / continue /
    please continue / keep going / carry on / go on please / please go on
    """
)

WAIT = _list(
    """
    等一下 / 等等 / 等下 / 等会 / 等会儿 / 等一会 / 等一会儿 / 稍等 / 稍等一下 / 等我一下 / 等我看看 / 等我看一下 /
    等我想想 / 等我想一下 / 等我找一下 / 让我想想 / 让我想一下 / 让我看看 / 让我看一下 / 让我查一下 / 我想想 /
    我想一想 / 我想一下 / 我看看 / 我看一下 / 我找一下 / 我找找 / 慢着 / 先等等 / 先等一下 / 别急 / wait /
    wait a second / wait a sec / wait a minute / wait a moment / wait please / hold on / hold on a second /
    hold on a sec / hold on a minute / hang on / hang on a second / hang on a sec / one moment / one moment please /
    one second / one sec / just a moment / just a second / just a sec / just a minute / give me a second /
    give me a sec / give me a minute / give me a moment / let me think / let me see / let me check / let me look /
    let me find it
    """
)

UNFINISHED_WHOLE = _list(
    """
    我 / 你 / 他 / 我们 / 你们 / 请 / 想 / i / you / we / the / a
    """
)
"""Unfinished if nothing else was said."""

UNFINISHED_END = _list(
    """
    因为 / 所以 / 但是 / 但 / 可是 / 不过 / 而且 / 并且 / 或者 / 或者说 / 还是 / 如果 / 要是 / 假如 / 虽然 / 然后 /
    还有 / 另外 / 以及 / 和 / 跟 / 与 / 或 / 比如 / 比如说 / 例如 / 譬如 / 就是 / 就是说 / 也就是 / 把 / 被 / 关于 /
    对于 / 按照 / 根据 / 通过 / 为了 / 由于 / 除了 / 至于 / 问题是 / 情况是 / 意思是 / 号码是 / 号是 / 地址是 /
    名字是 / 名字叫 / 我叫 / 我是 / 我想 / 我想问 / 我想问一下 / 我想问问 / 我想知道 / 我想了解 / 我想咨询 /
    想咨询一下 / 我想查 / 我想要 / 我要 / 我需要 / 我打算 / 我觉得 / 我现在 / 请问 / 请问一下 / 问一下 / 我的 /
    你们的 / 帮我 / 请帮我 / 帮我查 / 帮我看看 / 你能不能 / 能不能 / 可不可以 / 你能 / 可以帮我 / 麻烦你 / 麻烦帮我 /
    怎么把 / 先把 / 第一 / 第二 / 首先 / 其次 / 一个是 / 从 / 在 / 给 / 向 / 当 / 让 / 如果说 / 那如果 / 万一 / 无论 /
    不管 / 只要 / 只有 / 除非 / 嗯 / 呃 / 额 / 的话 / and / or / but / because / if / when / while / although /
    though / unless / until / the / a / an / my / your / our / their / his / its / to / of / for / from / with / at /
    into / by / as / than / about / on / in / is / are / was / were / am / be / im / i / we / i want / i want to /
    i wanna / id like / id like to / i would like / i would like to / i need / i need to / i think / i was wondering /
    i have / can you / could you / would you / will you / can i / could i / do you / please tell me / tell me /
    how do i / how do you / how to / how can i / what about / such as / for example / like / um / uh / er / erm /
    well / so / also / then / first / second / which / whose / where the / the number is / my name is
    """
)

COMPLETE_END = _list(
    """
    吗 / 呢 / 吧 / 么 / 呀 / 谢谢 / 谢谢你 / 多谢 / 多少 / 多少钱 / 几点 / 哪里 / 哪儿 / 什么 / 怎么办 / 怎么样 /
    怎样 / 怎么走 / 怎么用 / 多久 / 多长时间 / 多远 / 多大 / 为什么 / 为何 / 如何 / 再见 / 拜拜 / 是不是 / 对不对 /
    好不好 / 行不行 / 可不可以 / 有没有 / 什么时候 / 哪个 / 哪一个 / 谁 / 几个 / 几天 / 怎么回事 / 什么意思 / please /
    thanks / thank you / bye / goodbye / right now / today / tomorrow / it mean / it work / it cost / what it is /
    who you are / where it is / how it is / looking for / come from / made of
    """
)

MAY_END_QUESTION = _list(
    "to / of / for / from / with / at / into / by / about / on / in / is / are / was / were / be / am / like"
)
"""Of the above, those in which an English question may end ("where are you from", "tell me what it is")."""

QUESTION_START = _list(
    """
    what / where / who / whom / how / which / why / when / tell me what / tell me where / do you know
    """
)
"""English questions may end in a preposition or in a verb ("where are you from", "what it is")."""

CORRECTIONS = _list(
    """
    不对 / 不是 / 不不 / 错了 / 说错了 / 我说错了 / 我是说 / 我的意思是 / 我说的是 / 应该是 / 哦不 / 噢不 / 更正 /
    改成 / 不要 / 口误 / no sorry / no i mean / no i meant / no not / no wait / i mean / i meant / i mean to say /
    actually / sorry i mean / sorry i meant / correction / rather / or rather / not that / no its / no thats
    """
)

INVENTED = _list(
    """
    谢谢观看 / 谢谢大家 / 感谢观看 / 谢谢收看 / 感谢收看 / 字幕由amara org社区提供 / 字幕 amara org /
    中文字幕志愿者 杨茜茜 / 请不吝点赞 订阅 转发 打赏支持明镜与点点栏目 /
    优优独播剧场 yoyo television series exclusive / 字幕志愿者 / 明镜与点点栏目 / thanks for watching /
    thank you for watching / please subscribe / subscribe / subtitles by the amara org community / you / bye bye bye /
    music / applause
    """
)
"""What Whisper writes where nobody speaks (it was trained on subtitles)."""
