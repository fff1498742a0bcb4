"""One plain sentence about an effect, in each language."""

from __future__ import annotations

from o2o_research.models.causal.panel import Effect
from o2o_research.terms import Language, term


def sentences(name: str, effect: Effect) -> dict[Language, str]:
    """What an effect says and how sure it is, under the Term ``name``.

    Parameters
    ----------
    name : Term that gives the effect its name, unit and digits
    effect : in that Term's unit

    Examples
    --------
    >>> found = Effect(value=0.16, low=0.07, high=0.26, p_value=0.004, level=0.9)
    >>> sentences("own_effect", found)["en"]
    "mean effect estimated from the stores' data: 16% (90% interval 7–26%, p = 0.004); the interval excludes zero: there is an effect upwards."
    """
    about = term(name)
    sure = effect.low > 0 or effect.high < 0
    level, p_value = f"{effect.level:.0%}", f"p = {effect.p_value:.2g}"
    zh = (
        f"{about.zh}：{about.format(effect.value, 'zh')}（{level} 区间 "
        f"{about.interval(effect.low, effect.high, 'zh')}，{p_value}）；"
    )
    en = (
        f"{about.en}: {about.format(effect.value, 'en')} ({level} interval "
        f"{about.interval(effect.low, effect.high, 'en')}, {p_value}); "
    )
    if not sure:
        return {
            "zh": zh + "区间含零：不能说有效，也不能说无效。",
            "en": en + "the interval holds zero: neither an effect nor its absence is shown.",
        }
    up = effect.value > 0
    return {
        "zh": zh + f"区间不含零：确有{'正' if up else '负'}向效果。",
        "en": en
        + f"the interval excludes zero: there is an effect {'upwards' if up else 'downwards'}.",
    }
