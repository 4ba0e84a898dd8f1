import pytest

from voicehelper.voice.ear_text import EarText
from voicehelper.voice.ear_text import numbers_en as en
from voicehelper.voice.ear_text import numbers_zh as zh

CHINESE = """
您的订单号是20240501123，请保存。 | 您的订单号是二零二四零五零一一二三，请保存。
订单ORD-2024-0001已发货 | 订单 O R D 二零二四零零零一已发货
尾号1234 | 尾号一二三四
验证码：908172 | 验证码：九零八一七二
快递SF1234567890 | 快递 S F 一二三四五六七八九零
型号A100 | 型号 A 一零零
客服电话400-820-8820 | 客服电话四零零，八二零，八八二零
手机13812345678 | 手机幺三八，幺二三四，五六七八
请拨打10086。 | 请拨打幺零零八六。
热线95588 | 热线九五五八八
报警请拨打110 | 报警请拨打幺幺零
座机010-12345678 | 座机零幺零，幺二三四五六七八
138-1234-5678 | 幺三八，幺二三四，五六七八
价格为￥1,299.00 | 价格为一千二百九十九元
¥99 | 九十九元
￥0.5 | 零点五元
优惠后$3.50 | 优惠后三点五美元
€20 | 二十欧元
100USD | 一百美元
￥100-200 | 一百到二百元
12.5元/月 | 十二点五元每月
零售价99.9万元 | 零售价九十九点九万元
10000000元 | 一千万元
预计1,234,567元 | 预计一百二十三万四千五百六十七元
2024年5月1日 | 二零二四年五月一日
2024-05-01 | 二零二四年五月一日
2024/5/1 | 二零二四年五月一日
2024.05.01 | 二零二四年五月一日
2024年5月 | 二零二四年五月
2024/5 | 二零二四年五月
1995年 | 一九九五年
2020-2024年 | 二零二零到二零二四年
5月3号 | 五月三号
12月25日 | 十二月二十五日
3年 | 三年
2年 | 两年
100年 | 一百年
10:30 | 十点半
10:05 | 十点零五分
23:45 | 二十三点四十五分
10:00 | 十点
9:00-18:00 | 九点到十八点
9:30~18:30 | 九点半到十八点半
10:30:15 | 十点三十分十五秒
10:30 AM | 上午十点半
下午3:00 | 下午三点
3.5% | 百分之三点五
10%-20% | 百分之十到百分之二十
10-20% | 百分之十到百分之二十
5‰ | 千分之五
-5℃ | 零下五摄氏度
25°C | 二十五摄氏度
重5kg | 重五公斤
3-5kg | 三到五公斤
100km/h | 一百公里每小时
60m² | 六十平方米
8GB内存 | 八 G 内存
500ml | 五百毫升
2小时30分钟 | 两小时三十分钟
3-5天 | 三到五天
2-3个 | 两到三个
5~10倍 | 五到十倍
2个 | 两个
2件 | 两件
第2个 | 第二个
第3步 | 第三步
2万人 | 两万人
200元 | 二百元
12 | 十二
105 | 一百零五
20000 | 两万
100亿 | 一百亿
3.14 | 三点一四
-3 | 负三
007 | 零零七
1/2 | 二分之一
3:1 | 三比一
v3.5 | 版本三点五
V2.0版 | 二点零版
版本3.5.1 | 版本三点五点一
192.168.0.1 | 一百九十二点一百六十八点零点一
请访问https://www.example.com/help?id=3。 | 请访问 example 点 com。
见 http://a-very-long-host-name.example.com/x | 见链接
打开example.cn | 打开 example 点 cn
service@example.com | service at example 点 com
**重点**：点击`设置` | 重点：点击设置
7天内可退[1]。 | 七天内可退。
7天内可退[1][2]，运费自理[^3]。 | 七天内可退，运费自理。
7天内可退【1】。 | 七天内可退。
[帮助中心](https://example.com/a)有说明 | 帮助中心有说明
![图](a.png)如图 | 如图
## 退货流程 | 退货流程
> 引用的话 | 引用的话
- 打开设置 | 打开设置
1. 打开 App | 第一，打开 App
2、点击“我的” | 第二，点击我的
（3）提交 | 第三，提交
设置 > 账号 > 注销 | 设置，账号，注销
设置→账号 | 设置，账号
好的👌！ | 好的！
点击“确定”（右下角）。 | 点击确定，右下角。
《用户协议》第5条 | 用户协议第五条
是/否 | 是或否
≥18岁 | 大于等于十八岁
3×4=12 | 三乘四等于十二
7×24小时 | 全天候
VIP会员 | V I P 会员
iPhone 15 Pro | iPhone 十五 Pro
5G网络 | 五 G 网络
使用WiFi连接AI助手 | 使用 WiFi 连接 A I 助手
稍等…… | 稍等，
价格——优惠 | 价格，优惠
！！真的？？ | 真的？
～好的～ | 好的
------ |
** |
🎉🎉 |
１２３ | 一百二十三
"""
ENGLISH = """
Your order ORD20240501 | Your order O R D two zero two four zero five zero one
Code: 123456 | Code: one two three four five six
flight CA1234 | flight C A one two three four
Call 400-820-8820 | Call four zero zero, eight two zero, eight eight two zero
+1 (555) 123-4567 | plus one, five five five, one two three, four five six seven
$3.50 | three dollars and fifty cents
$1 | one dollar
$0.99 | ninety-nine cents
$1,299 | one thousand two hundred ninety-nine dollars
$2 million | two million dollars
$10-$20 | ten to twenty dollars
¥100 | one hundred yuan
€5.20 | five euros and twenty cents
£3 | three pounds
100 RMB | one hundred yuan
10% off | ten percent off
10-20% | ten to twenty percent
On May 1, 2024 | On May first, twenty twenty-four
2024-05-01 | May first, twenty twenty-four
1 May | first of May
May 2024 | May twenty twenty-four
12/25/2024 | December twenty-fifth, twenty twenty-four
the 21st | the twenty-first
the 3rd time | the third time
In 2024 | In twenty twenty-four
since 1999 | since nineteen ninety-nine
in 2005 | in two thousand five
1990s | nineteen nineties
10:30 a.m. | ten thirty A M
3 pm | three P M
9:00-18:00 | nine o'clock to six P M
18:30 | six thirty P M
8:05 am | eight oh five A M
12:00 | twelve o'clock
Mon-Fri | Monday to Friday
3-5 days | three to five days
1/2 price | one half price
3/4 cup | three quarters cup
2/3 | two thirds
v3.5 | version three point five
1.2.3 | one point two point three
1,234,567 | one million two hundred thirty-four thousand five hundred sixty-seven
3.14 | three point one four
-5 | minus five
007 | zero zero seven
5kg | five kilograms
1 kg | one kilogram
100 km/h | one hundred kilometers per hour
8GB | eight gigabytes
25°C | twenty-five degrees Celsius
5 ft | five feet
5G | five G
Dr. Smith | Doctor Smith
Mr. Jones vs. Mrs. Lee | Mister Jones versus Missus Lee
e.g. a bag | for example, a bag
i.e. now | that is, now
etc. | et cetera
24/7 | twenty-four seven
and/or | and or
A & B | A and B
No. 5 | number five
#7 | number seven
https://www.example.com/help | example dot com
help@example.com | help at example dot com
[help](http://x.com) | help
**Bold** and `code` | Bold and code
It is free [1][2]. | It is free.
1. Open the app | First, Open the app
Settings > Account | Settings, Account
Delete (cannot be undone). | Delete, cannot be undone.
USB and VIPs | U S B and V I Ps
Great! 🎉 | Great!
"Yes" | Yes
"""


def rows(table):
    return [tuple(part.strip() for part in line.split(" |")) for line in table.strip().splitlines()]


@pytest.mark.parametrize(("text", "spoken"), rows(CHINESE))
def test_chinese(text, spoken):
    assert EarText().read(text, "zh") == spoken


@pytest.mark.parametrize(("text", "spoken"), rows(ENGLISH))
def test_english(text, spoken):
    assert EarText().read(text, "en") == spoken


def test_no_digit_is_left_to_the_synthesiser():
    for text, _ in rows(CHINESE) + rows(ENGLISH):
        for language in ("zh", "en"):
            assert not any(char.isascii() and char.isdigit() for char in EarText().read(text, language)), text


@pytest.mark.parametrize(
    ("number", "spoken"),
    [
        ("0", "零"),
        ("10", "十"),
        ("11", "十一"),
        ("110", "一百一十"),
        ("1001", "一千零一"),
        ("1010", "一千零一十"),
        ("10010", "一万零一十"),
        ("10500", "一万零五百"),
        ("100005", "十万零五"),
        ("20200000", "两千零二十万"),
        ("100000000", "一亿"),
        ("100010000", "一亿零一万"),
        ("1000000001", "十亿零一"),
        ("22222", "两万两千二百二十二"),
        ("102000", "十万两千"),
    ],
)
def test_chinese_numbers(number, spoken):
    assert zh.cardinal(number) == spoken


@pytest.mark.parametrize(
    ("number", "spoken"),
    [
        ("1", "first"),
        ("2", "second"),
        ("12", "twelfth"),
        ("20", "twentieth"),
        ("31", "thirty-first"),
        ("100", "one hundredth"),
    ],
)
def test_english_ordinals(number, spoken):
    assert en.ordinal(number) == spoken


@pytest.mark.parametrize(
    ("number", "spoken"),
    [("1900", "nineteen hundred"), ("1905", "nineteen oh five"), ("2000", "two thousand"), ("2019", "twenty nineteen")],
)
def test_english_years(number, spoken):
    assert en.year(number) == spoken


def test_a_table_is_read_row_by_row_with_its_headings():
    ear = EarText()
    assert ear.read("| 型号 | 价格 |\n", "zh") == ""
    assert ear.read("|---|---|\n", "zh") == ""
    assert ear.read("| 标准版 | ￥99 |\n", "zh") == "型号：标准版，价格：九十九元。"
    assert ear.read("| 专业版 | ￥199 |\n", "zh") == "型号：专业版，价格：一百九十九元。"
    assert ear.read("以上。", "zh") == "以上。"


def test_a_block_of_code_is_not_read():
    assert EarText().read("```python\nprint(1)\n```\n", "zh") == "代码请看文字。"
    assert EarText().read("```\nls\n```", "en") == "Please see the text for the code."
