"""Evidence, params and terms hold together: each value has one origin, and it is true."""

from __future__ import annotations

import pytest

from o2o_research import cases
from o2o_research.evidence import bibliography
from o2o_research.terms import LANGUAGES, term, terms

NAMES = cases.case_names()
each_case = pytest.mark.parametrize("name", NAMES)


def test_there_are_cases() -> None:
    assert NAMES


@each_case
def test_the_defaults_pass_their_own_check(name: str) -> None:
    assert cases.parameters(name) == cases.case(name).defaults


@each_case
def test_every_parameter_has_one_origin_and_no_origin_is_left_over(name: str) -> None:
    assert set(cases.case(name).evidence.origins) == set(cases.case(name).defaults)


@each_case
def test_a_reported_value_equals_its_fact(name: str) -> None:
    case = cases.case(name)
    for key, origin in case.evidence.origins.items():
        if origin.kind == "reported":
            assert case.evidence.facts[origin.source].value == case.defaults[key], key


@each_case
def test_a_published_value_cites_a_source_of_the_bibliography(name: str) -> None:
    for key, origin in cases.case(name).evidence.origins.items():
        if origin.kind == "published":
            assert origin.source in bibliography(), key
            assert origin.why is not None, (
                f"{key}: a note says how the value follows from the source"
            )


@each_case
def test_an_assumed_value_says_why(name: str) -> None:
    for key, origin in cases.case(name).evidence.origins.items():
        if origin.kind == "assumed":
            assert origin.why is not None, key
            assert origin.why.zh.strip(), key
            assert origin.why.en.strip(), key


@each_case
def test_a_plausible_range_holds_its_value_and_lies_in_the_domain(name: str) -> None:
    case = cases.case(name)
    for key, origin in case.evidence.origins.items():
        if origin.low is not None and origin.high is not None:
            assert origin.low < case.defaults[key] < origin.high, key
            domain = term(key).domain
            assert domain is not None, key
            assert origin.low in domain, key
            assert origin.high in domain, key


def test_every_term_has_a_name_in_both_languages() -> None:
    for key, about in terms().items():
        for language in LANGUAGES:
            assert about.name(language).strip(), key
        assert not any("\u3400" <= letter <= "\u9fff" for letter in about.en), key


def test_every_term_is_used() -> None:
    text = "".join(
        path.read_text(encoding="utf-8")
        for folder in (
            "notebooks",
            "params",
            "o2o_research/publishing",
            "o2o_research/studies",
            "o2o_research/evidence",
            "o2o_research",
        )
        for path in (cases.home() / folder).glob("*.*")
        if path.suffix in (".ipynb", ".yaml", ".py") and path.name != "terms.yaml"
    )
    assert not {key for key in terms() if key not in text}


@pytest.mark.parametrize("file", ["terms.yaml", "evidence/sources.yaml"])
def test_no_key_is_defined_twice(file: str) -> None:
    text = (cases.home() / "o2o_research" / file).read_text(encoding="utf-8")
    keys = [line.split(":")[0] for line in text.splitlines() if line[:1].isalpha()]
    assert len(set(keys)) == len(keys), {key for key in keys if keys.count(key) > 1}
