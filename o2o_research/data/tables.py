"""The canonical tables, as plain data: what a log must hold to be read.

Documentation, checks and messages are all made from these descriptions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Type = Literal["text", "time", "number"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a canonical table.

    Parameters
    ----------
    name : as it stands in the header
    type : ``text``, ``time`` (a moment, to the day or finer) or ``number``
    zh, en : what it means
    unit : of a number
    domain : the interval a number must lie in, ``[0, inf)``; empty for any
    gaps : whether a cell may be empty, meaning "not known"
    optional : whether the column may be absent
    """

    name: str
    type: Type
    zh: str
    en: str
    unit: str = ""
    domain: str = ""
    gaps: bool = False
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """A canonical table.

    Parameters
    ----------
    name : plural noun, ``orders``
    row : what one row is, ``order``
    columns : in the order in which they are documented and returned
    keys : sets of columns; no two rows may agree on the first set that is there in full
    """

    name: str
    row: str
    columns: tuple[Column, ...]
    keys: tuple[tuple[str, ...], ...] = ()


ORDERS = Table(
    name="orders",
    row="order",
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
)
