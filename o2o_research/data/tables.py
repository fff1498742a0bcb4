"""The canonical tables, as plain data: what a log must hold to be read.

Documentation, checks and messages are all made from these descriptions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

Type = Literal["text", "time", "week", "number", "flag"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a canonical table.

    Parameters
    ----------
    name : as it stands in the header
    type : ``text``, ``time`` (a moment, to the day or finer), ``week`` (the day of its Monday),
        ``number`` or ``flag`` (1 or 0, true or false, yes or no, 是 or 否)
    zh, en : what it means
    unit : of a number
    domain : the interval a number must lie in, ``[0, inf)``; empty for any
    gaps : whether a cell may be empty, meaning "not known"
    optional : whether the column may be absent
    at_least, at_most : another column of the row that bounds this one, where both are known
    same_for : a column; rows that agree on it agree on this one too
    options : the texts there are; empty for any
    once_in : a column; of the rows that agree on it exactly one has this flag
    """

    name: str
    type: Type
    zh: str
    en: str
    unit: str = ""
    domain: str = ""
    gaps: bool = False
    optional: bool = False
    at_least: str = ""
    at_most: str = ""
    same_for: str = ""
    options: tuple[str, ...] = ()
    once_in: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A canonical table.

    Parameters
    ----------
    name : plural noun, ``orders``
    row : what one row is, ``order``
    columns : in the order in which they are documented and returned
    zh, en : what the table is for
    keys : sets of columns; no two rows may agree on the first set that is there in full
    attributes : whether further columns are read, as numbers without gaps
    example : five good rows, as CSV
    """

    name: str
    row: str
    columns: tuple[Column, ...]
    zh: str = ""
    en: str = ""
    keys: tuple[tuple[str, ...], ...] = ()
    attributes: bool = False
    example: str = ""

    def narrowed(self, allowed: Mapping[str, Collection[str]]) -> Table:
        """The same table, a column of ``allowed`` holding no other texts than those."""
        columns = (replace(c, options=tuple(allowed.get(c.name, c.options))) for c in self.columns)
        return replace(self, columns=tuple(columns)) if allowed else self


ORDERS = Table(
    name="orders",
    row="order",
    zh="订单：谁、何时、花了多少、得了多少优惠",
    en="orders: who, when, how much, and what was given away",
    columns=(
        Column(
            name="order_id",
            type="text",
            zh="订单号；没有可不给此列",
            en="order number; leave the column out where there is none",
            optional=True,
        ),
        Column(
            name="customer_id",
            type="text",
            zh="顾客编号：会员号、手机号的脱敏值等，同一人始终相同",
            en="who ordered: member number, hashed telephone; the same person, the same text",
        ),
        Column(
            name="ordered_at",
            type="time",
            zh="下单时间，门店当地时间；只有日期也可以",
            en="when, in the shop's local time; a date alone will do",
        ),
        Column(
            name="amount",
            type="number",
            unit="yuan",
            domain="[0, 1e9]",
            zh="门店就此单实收的金额，已扣除一切优惠",
            en="what the shop took for the order, after every discount",
        ),
        Column(
            name="channel",
            type="text",
            zh="渠道，如 dine_in（堂食）、voucher（团购券）、platform（外卖平台）、"
            "direct（自有渠道）；不详则留空",
            en="how it came: dine_in, voucher, platform, direct or a word of your own; "
            "empty where not known",
            gaps=True,
        ),
        Column(
            name="discount",
            type="number",
            unit="yuan",
            domain="[0, 1e9]",
            zh="此单让利金额：标价减去 amount，不是折扣率，也不是“几折”；不详则留空",
            en="given away on the order, list price less amount: money, not a share; "
            "empty where not known",
            gaps=True,
        ),
    ),
    keys=(
        ("order_id",),
        ("customer_id", "ordered_at", "amount", "channel", "discount"),
    ),
    example="""\
order_id,customer_id,ordered_at,amount,channel,discount
2014053001,A17,2014-05-30 12:10,58,voucher,30
2014053002,B04,2014-05-30 12:25,96.5,dine_in,0
2014053003,C31,2014-05-30 18:40,44,platform,
2014053101,A17,2014-05-31 19:05,88,dine_in,0
2014060101,B04,2014-06-01 12:30,120,direct,12
""",
)

MEMBERS = Table(
    name="members",
    row="member",
    zh="会员或粉丝：何时、因何而来，最近何时活跃",
    en="members or followers: when and how they came, and when they were last active",
    columns=(
        Column(name="member_id", type="text", zh="会员编号（脱敏）", en="the member, hashed"),
        Column(name="joined_at", type="time", zh="入会（关注）时间", en="when they joined"),
        Column(
            name="source",
            type="text",
            zh="来源：gift（礼品）、store（门店）、friend（朋友）或自定；不详则留空",
            en="how they came: gift, store, friend or a word of your own; empty where not known",
            gaps=True,
        ),
        Column(
            name="last_active_at",
            type="time",
            zh="最近一次活跃的时间；入会后再无动静则留空",
            en="when last active; empty where never since joining",
            gaps=True,
            at_least="joined_at",
        ),
    ),
    keys=(("member_id",),),
    example="""\
member_id,joined_at,source,last_active_at
M001,2014-01-06 10:20,gift,2014-01-06 10:31
M002,2014-01-07,store,2014-05-28 19:02
M003,2014-01-07 21:15,friend,2014-03-15
M004,2014-02-14 12:00,,
M005,2014-03-08 16:40,gift,
""",
)

MEMBER_EVENTS = Table(
    name="member_events",
    row="event",
    zh="会员活动：一行一次",
    en="what members did: a row each time",
    columns=(
        Column(
            name="event_id",
            type="text",
            zh="活动编号；没有可不给此列",
            en="number of the event; leave the column out where there is none",
            optional=True,
        ),
        Column(
            name="member_id", type="text", zh="会员编号，同会员表", en="the member, as in members"
        ),
        Column(name="happened_at", type="time", zh="发生时间", en="when it happened"),
        Column(
            name="event",
            type="text",
            zh="活动：scan（扫码）、message（咨询）、coupon（领券）、purchase（购买）、"
            "leave（取消关注）或自定",
            en="what: scan, message, coupon, purchase, leave or a word of your own",
        ),
        Column(
            name="amount",
            type="number",
            unit="yuan",
            domain="[0, 1e9]",
            zh="购买金额；其他活动留空",
            en="spent by a purchase; empty for other events",
            gaps=True,
        ),
    ),
    keys=(("event_id",), ("member_id", "happened_at", "event", "amount")),
    example="""\
event_id,member_id,happened_at,event,amount
E1,M001,2014-01-06 10:20,scan,
E2,M001,2014-01-06 10:31,coupon,
E3,M002,2014-01-12 15:05,message,
E4,M002,2014-05-28 19:02,purchase,399
E5,M001,2014-06-02 08:00,leave,
""",
)

_STORE = Column(name="store", type="text", zh="门店编号", en="store number")

STORE_WEEKS = Table(
    name="store_weeks",
    row="store and week",
    zh="门店周表",
    en="weekly results of stores",
    columns=(
        _STORE,
        Column(name="week", type="week", zh="该周的周一日期", en="the week's Monday"),
        Column(
            name="footfall",
            type="number",
            domain="[0, 1e7]",
            zh="进店人次；没有客流计数则留空",
            en="visits counted at the door; empty where not counted",
            gaps=True,
        ),
        Column(
            name="transactions", type="number", domain="[0, 1e7]", zh="成交笔数", en="purchases"
        ),
        Column(
            name="sales",
            type="number",
            unit="yuan",
            domain="[0, 1e9]",
            zh="销售额，已扣除退货与折扣",
            en="sales after returns and discounts",
        ),
        Column(
            name="units",
            type="number",
            domain="[0, 1e7]",
            zh="销售件数；不详则留空",
            en="units sold; empty where not known",
            gaps=True,
        ),
        Column(
            name="converted_on",
            type="time",
            zh="门店改造完成的日期，该店各行相同；未改造则留空",
            en="when the store was converted, the same in all of its rows; empty where it was not",
            gaps=True,
            same_for="store",
        ),
    ),
    keys=(("store", "week"),),
    example="""\
store,week,footfall,transactions,sales,units,converted_on
S01,2014-05-19,2310,402,120540,611,2014-05-28
S01,2014-05-26,2295,398,118020,602,2014-05-28
S01,2014-06-02,2480,455,139900,698,2014-05-28
S02,2014-05-19,,377,109870,,
S02,2014-05-26,,369,106400,540,
""",
)

SKU_SALES = Table(
    name="sku_sales",
    row="store, SKU, size and day",
    zh="分款分码的日销售与库存",
    en="daily sales and stock by style and size",
    columns=(
        _STORE,
        Column(name="sku", type="text", zh="款号", en="style number"),
        Column(name="size", type="text", zh="尺码", en="size"),
        Column(
            name="colour",
            type="text",
            zh="颜色；不分色则留空",
            en="colour; empty where there is one",
            gaps=True,
        ),
        Column(name="day", type="time", zh="日期", en="the day"),
        Column(
            name="sold",
            type="number",
            domain="[0, 1e6]",
            zh="当日售出件数",
            en="units sold that day",
            at_most="stock",
        ),
        Column(
            name="stock",
            type="number",
            domain="[0, 1e6]",
            zh="当日营业开始时的库存件数，含当日到货",
            en="units in stock as the day began, deliveries of the day included",
        ),
    ),
    keys=(("store", "sku", "size", "colour", "day"),),
    example="""\
store,sku,size,colour,day,sold,stock
S01,K1203,S,black,2014-05-26,1,4
S01,K1203,M,black,2014-05-26,3,6
S01,K1203,M,white,2014-05-26,0,5
S01,K1203,M,black,2014-05-27,3,3
S02,T0088,L,,2014-05-26,2,9
""",
)

SALES = Table(
    name="sales",
    row="period, brand, channel and country",
    zh="品牌销量：按期、渠道与国家",
    en="sales of brands by period, channel and country",
    columns=(
        Column(name="period", type="time", zh="该期的首日", en="first day of the period"),
        Column(name="brand", type="text", zh="品牌或机型", en="brand or model"),
        Column(
            name="channel",
            type="text",
            zh="渠道：online（线上）、carrier（运营商）、shop（门店）或自定；不分则留空",
            en="online, carrier, shop or a word of your own; empty where not told apart",
            gaps=True,
        ),
        Column(
            name="country",
            type="text",
            zh="国家或地区；不分则留空",
            en="country or region; empty where not told apart",
            gaps=True,
        ),
        Column(name="units", type="number", domain="[0, 1e10]", zh="售出台数", en="units sold"),
        Column(
            name="price",
            type="number",
            unit="yuan",
            domain="[0, 1e7]",
            zh="平均成交单价；不详则留空",
            en="mean price paid for one; empty where not known",
            gaps=True,
        ),
        Column(
            name="stock",
            type="number",
            domain="[0, 1e10]",
            zh="本期可供销售的台数；没有可不给此列",
            en="units on offer in the period; leave the column out where not known",
            gaps=True,
            optional=True,
        ),
        Column(
            name="sold_out",
            type="flag",
            zh="本期是否售罄；没有可不给此列",
            en="whether the period sold out; leave the column out where not known",
            gaps=True,
            optional=True,
        ),
    ),
    keys=(("period", "brand", "channel", "country"),),
    example="""\
period,brand,channel,country,units,price,stock,sold_out
2014-01-01,X1,online,CN,120000,799,120000,1
2014-02-01,X1,online,CN,300000,799,300000,1
2014-03-01,X1,online,CN,410000,789,500000,0
2014-03-01,X1,shop,CN,90000,849,,
2014-03-01,X2,online,,60000,,,
""",
)

CHOICES = Table(
    name="choices",
    row="case and alternative",
    zh="选择记录：每次选择的每个备选项占一行，另有任意多列数值属性",
    en="choices: a row for every alternative of every case, with any numeric attributes beside",
    columns=(
        Column(name="case_id", type="text", zh="选择的编号", en="the choice made"),
        Column(
            name="person_id",
            type="text",
            zh="选择者编号，同一人可有多次选择；没有可不给此列",
            en="who chose, who may do so often; leave the column out where not known",
            optional=True,
            same_for="case_id",
        ),
        Column(
            name="alternative",
            type="text",
            zh="备选项；“都不选”也写成一项",
            en="what could be chosen; to choose none is an alternative too",
        ),
        Column(
            name="chosen",
            type="flag",
            zh="是否选中；每次选择恰有一项",
            en="whether it was; exactly one of each case",
            once_in="case_id",
        ),
    ),
    keys=(("case_id", "alternative"),),
    attributes=True,
    example="""\
case_id,person_id,alternative,chosen,price,waiting
1,P7,online,1,798,5
1,P7,carrier,0,898,0
1,P7,none,0,0,0
2,P9,online,0,798,12
2,P9,carrier,1,858,0
""",
)

VISITS = Table(
    name="visits",
    row="visit",
    zh="就诊日志：每位患者每到一个环节一行",
    en="visits of patients to stations",
    columns=(
        Column(
            name="patient",
            type="text",
            zh="患者编号（脱敏）",
            en="who: a hashed number, the same person the same text",
        ),
        Column(
            name="station",
            type="text",
            zh="环节：挂号、就诊、缴费、检查等",
            en="where: registration, consulting, payment, tests ...",
        ),
        Column(
            name="arrived_at",
            type="time",
            zh="到达该环节（取号、排队）的时间",
            en="when the patient joined the queue",
        ),
        Column(
            name="started_at",
            type="time",
            zh="开始服务的时间",
            en="when service began",
            at_least="arrived_at",
        ),
        Column(
            name="ended_at",
            type="time",
            zh="服务结束的时间",
            en="when service ended",
            at_least="started_at",
        ),
    ),
    example="""\
patient,station,arrived_at,started_at,ended_at
p1,registration,2014-05-26 07:41,2014-05-26 08:02,2014-05-26 08:03
p1,consulting,2014-05-26 08:10,2014-05-26 09:25,2014-05-26 09:31
p1,payment,2014-05-26 09:34,2014-05-26 09:52,2014-05-26 09:53
p2,registration,2014-05-26 07:58,2014-05-26 08:20,2014-05-26 08:21
p2,consulting,2014-05-26 08:30,2014-05-26 09:40,2014-05-26 09:48
""",
)

REGISTRATIONS = Table(
    name="registrations",
    row="registration",
    zh="挂号日志",
    en="bookings of a hospital's slots",
    columns=(
        Column(
            name="account", type="text", zh="挂号账号（脱敏）", en="the booking account, hashed"
        ),
        Column(
            name="patient", type="text", zh="就诊人（脱敏）", en="the patient booked for, hashed"
        ),
        Column(name="doctor", type="text", zh="医生或号源", en="the doctor or list"),
        Column(
            name="released_at",
            type="time",
            zh="放号时间，精确到秒",
            en="when the slot was released, to the second",
        ),
        Column(
            name="booked_at",
            type="time",
            zh="约号时间，精确到秒",
            en="when it was booked, to the second",
            at_least="released_at",
        ),
        Column(name="visit_at", type="time", zh="就诊时间", en="when the visit is due"),
        Column(
            name="cancelled_at",
            type="time",
            zh="退号时间；未退则留空",
            en="when it was cancelled; empty where it was not",
            gaps=True,
            at_least="booked_at",
        ),
        Column(
            name="device",
            type="text",
            zh="设备标识（脱敏）；不详则留空",
            en="the device, hashed; empty where not known",
            gaps=True,
        ),
    ),
    example="""\
account,patient,doctor,released_at,booked_at,visit_at,cancelled_at,device
a1,p1,D12,2014-05-20 08:00:00,2014-05-20 08:00:03,2014-05-27 09:00,,d1
a1,p2,D12,2014-05-20 08:00:00,2014-05-20 08:00:04,2014-05-27 09:10,2014-05-26 21:14:30,d1
a2,p3,D12,2014-05-20 08:00:00,2014-05-20 08:07:41,2014-05-27 09:20,,d2
a3,p4,D31,2014-05-20 08:00:00,2014-05-20 19:30:12,2014-05-28 14:00,,
a1,p5,D12,2014-05-21 08:00:00,2014-05-21 08:00:02,2014-05-28 09:00,2014-05-27 20:02:11,d1
""",
)

APPOINTMENTS = Table(
    name="appointments",
    row="appointment",
    zh="预约与到诊日志：每个预约一行，退掉的预约不列",
    en="bookings that stood, and who came",
    columns=(
        Column(name="doctor", type="text", zh="医生或号源；不详则留空", en="the doctor or list; empty where not known", gaps=True),
        Column(name="booked_on", type="time", zh="预约日期", en="the day on which it was booked"),
        Column(
            name="visit_on",
            type="time",
            zh="就诊日期",
            en="the day of the visit",
            at_least="booked_on",
        ),
        Column(name="came", type="flag", zh="是否到诊", en="whether the patient came"),
    ),
    example="""\
doctor,booked_on,visit_on,came
D12,2014-05-20,2014-05-27,1
D12,2014-05-20,2014-05-27,0
D12,2014-05-27,2014-05-27,1
D31,2014-05-21,2014-05-28,1
,2014-05-22,2014-05-28,0
""",
)  # fmt: skip

RATINGS = Table(
    name="ratings",
    row="encounter",
    zh="医患互评日志：每次就诊一行，未评者也要列出",
    en="encounters and how the two sides rated each other; the silent are listed too",
    columns=(
        Column(name="doctor", type="text", zh="医生（脱敏）", en="the doctor, hashed"),
        Column(name="patient", type="text", zh="患者（脱敏）", en="the patient, hashed"),
        Column(
            name="rates_first",
            type="text",
            zh="谁先评：sealed（双方提交后同时公布）、patient（患者先评、医生可见）、doctor（医生先评、患者可见）",
            en="whose rating the other side sees before its own: patient, doctor, or sealed if neither",
            options=("sealed", "patient", "doctor"),
        ),
        Column(name="patient_rating", type="number", unit="stars", domain="[0, 5]", zh="患者给医生的评分；未评则留空", en="the patient's rating of the doctor; empty where silent", gaps=True),
        Column(name="doctor_rating", type="number", unit="stars", domain="[0, 5]", zh="医生给患者的评分；未评则留空", en="the doctor's rating of the patient; empty where silent", gaps=True),
    ),
    attributes=True,
    example="""\
doctor,patient,rates_first,patient_rating,doctor_rating,patient_age
D12,p1,patient,5,5,34
D12,p2,patient,1,2,61
D12,p3,sealed,4,,45
D31,p4,doctor,5,5,29
D31,p1,sealed,,,34
""",
)  # fmt: skip

WEEKLY = Table(
    name="weekly",
    row="week",
    zh="公司周表：投入与线上、线下销售",
    en="a company's weeks: what was invested, and sales online and offline",
    columns=(
        Column(name="week", type="week", zh="该周的周一日期", en="the week's Monday"),
        Column(
            name="investment",
            type="number",
            unit="yuan",
            domain="[0, 1e10]",
            zh="当周为线上业务的投入",
            en="spent on the online business in the week",
        ),
        Column(
            name="sales_online",
            type="number",
            unit="yuan",
            domain="[0, 1e10]",
            zh="线上销售额，已扣除退货与折扣",
            en="sales online after returns and discounts",
        ),
        Column(
            name="sales_offline",
            type="number",
            unit="yuan",
            domain="[0, 1e10]",
            zh="门店销售额，已扣除退货与折扣",
            en="sales in the stores after returns and discounts",
        ),
        Column(
            name="margin",
            type="number",
            unit="yuan",
            domain="[-1e10, 1e10]",
            zh="当周毛利额（线上与门店合计），即销售额减去商品成本，未扣除投入；不详则留空",
            en="gross margin of the week, online and offline together: sales less cost of goods, "
            "the investment not yet deducted; empty where not known",
            gaps=True,
        ),
    ),
    keys=(("week",),),
    example="""\
week,investment,sales_online,sales_offline,margin
2014-05-05,260000,410000,5120000,2190000
2014-05-12,310000,455000,5060000,2175000
2014-05-19,280000,520000,4980000,2160000
2014-05-26,450000,690000,4900000,
2014-06-02,300000,610000,4870000,2085000
""",
)

TABLES = {
    table.name: table
    for table in (
        ORDERS, MEMBERS, MEMBER_EVENTS, STORE_WEEKS, SKU_SALES, SALES, CHOICES, VISITS,
        REGISTRATIONS, APPOINTMENTS, RATINGS, WEEKLY,
    )
}  # fmt: skip
