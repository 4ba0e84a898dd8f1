"""What callers say with a pause in the middle: what comes before it, what comes after. Half of the first parts show by
their words that more is to come, half do not."""

CHINESE = (
    ("我想问一下", "我的订单什么时候发货"),
    ("因为昨天收到的杯子碎了", "所以我要退货"),
    ("如果我现在取消订单", "钱多久能退回来"),
    ("那个", "发票怎么开"),
    ("我的会员卡号是", "八八六零二一"),
    ("我需要把地址改成", "上海市徐汇区"),
    ("我上周买的那台洗衣机", "一直在漏水"),
    ("你们家的空调", "能不能上门安装"),
    ("昨天送来的快递", "包装已经破了"),
    ("我在你们店里买的手机", "屏幕碎了怎么办"),
    ("积分商城里的礼品", "可以换成优惠券吗"),
    ("这个月的账单", "比上个月多了一百块"),
    ("我不是要退款", "我是要换一个颜色"),
    ("请帮我查一下", "上个月的流量"),
    ("虽然保修期已经过了", "但是我只用了两次"),
    ("他们说三天之内会到", "现在已经第五天了"),
)

ENGLISH = (
    ("I would like to know", "when my order will be shipped"),
    ("Because the box arrived damaged", "I want to send it back"),
    ("If I cancel the order now", "how long does the refund take"),
    ("My membership number is", "eight eight six zero two one"),
    ("Um", "how do I get an invoice"),
    ("Please change my address to", "twelve Baker Street"),
    ("The washing machine I bought last week", "keeps leaking"),
    ("The parcel that came yesterday", "was already open"),
    ("I do not want a refund", "I want another colour"),
    ("This month's bill", "is much higher than the last one"),
    ("They told me three days", "and now it is day five"),
    ("The screen of my new phone", "broke on the first day"),
)
