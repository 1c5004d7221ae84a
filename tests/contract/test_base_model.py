"""The base model's terms where a server has the model: what may stand there, and what people sign of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from dpsynth_assets.contract import lint_contract, load_contract
from dpsynth_assets.contract.diff import changes, terms_for_approval
from dpsynth_assets.contract.synthesis import BaseModelTerms

MINIMAL = Path(__file__).parent / "right" / "minimal.odcs.yaml"
THERE = "http://localhost:8000/v1"


def fault(**terms: object) -> tuple[str, str]:
    """Where, and what is wrong."""
    with pytest.raises(ValidationError) as raised:
        BaseModelTerms.model_validate(terms)
    [detail] = raised.value.errors()
    error = detail["ctx"]["error"]
    return str(detail["loc"][-1] if detail["loc"] else error.field), error.what


@pytest.mark.parametrize(
    "url",
    [THERE, "https://models.example.com/v1/", "http://[::1]:11434/v1", "http://10.0.0.7:8080", "https://h/a/b/v1"],
)
def test_a_server_s_address_is_taken_as_it_stands(url: str) -> None:
    assert BaseModelTerms(name="some-model", endpoint=url).endpoint == url


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "not an http or https URL"),
        ("localhost:8000/v1", "not an http or https URL"),
        ("ftp://localhost/v1", "not an http or https URL"),
        ("http:///v1", "not an http or https URL"),
        ("http://local host/v1", "not an http or https URL"),
        (f"{THERE}\n", "not an http or https URL"),
        ("http://b\u00fccher.example/v1", "not an http or https URL"),
        ("http://localhost:port/v1", "not a URL"),
        ("http://localhost:99999/v1", "not a URL"),
        ("http://[::1/v1", "not a URL"),
        (f"{THERE}/chat/completions", "names one request"),
        ("http://me:hunter2@localhost/v1", "no credentials"),
        ("http://hunter2@localhost/v1", "no credentials"),
        (f"{THERE}?api_key=hunter2", "no credentials"),
        (f"{THERE}#hunter2", "no credentials"),
        (f"{THERE}?", "no credentials"),
        ("http://${HOST}/v1", "no variable of the environment is put in"),
        ("http://localhost:0/v1", "not an http or https URL"),
        ("http://.../v1", "not an http or https URL"),
    ],
)
def test_what_is_no_plain_address_is_refused_and_not_repeated(url: str, says: str) -> None:
    where, what = fault(name="some-model", endpoint=url)
    assert where == "endpoint"
    assert says in what
    assert "hunter2" not in what


@pytest.mark.parametrize("name", ["embedded", "smollm2-135m", "./model", "../model", "/srv/model", "~/m", "model.gguf"])
def test_a_model_of_this_machine_is_none_of_a_server(name: str) -> None:
    where, what = fault(name=name, endpoint=THERE)
    assert where == "name"
    assert f"`{name}`" in what


@pytest.mark.parametrize("named", [{}, {"name": "a\nmodel"}, {"name": "a \x1b[31mmodel"}])
def test_a_server_s_model_needs_a_name_that_can_be_shown(named: dict[str, str]) -> None:
    assert fault(**named, endpoint=THERE)[0] == "name"


@pytest.mark.parametrize("name", ["qwen3:8b", "owner/name", "hf.co/owner/name-GGUF"])
def test_a_server_s_name_is_no_path_however_many_parts_it_has(name: str) -> None:
    assert not BaseModelTerms(name=name, endpoint=THERE).is_path


def test_a_key_s_variable_is_a_name_and_belongs_to_an_endpoint() -> None:
    assert fault(key_variable="KEY") == (
        "key_variable",
        "there is a key's variable and no endpoint that would want the key",
    )
    for key in ("sk-hunter2-abc", "", "A B", "1A", "A" * 200):
        where, what = fault(name="some-model", endpoint=THERE, key_variable=key)
        assert where == "key_variable"
        assert not key or key not in what


@pytest.mark.parametrize(
    ("url", "shows"),
    [
        ("http://models.example.com/v1", True),
        ("http://10.0.0.7/v1", True),
        ("http://localhost.example.com/v1", True),
        ("https://models.example.com/v1", False),
        (THERE, False),
        ("http://127.0.0.2:1/v1", False),
        ("http://[::1]/v1", False),
    ],
)
def test_a_key_over_plain_http_is_shown_to_all_but_this_machine(url: str, shows: bool) -> None:
    terms = BaseModelTerms(name="some-model", endpoint=url, key_variable="KEY")
    assert terms.shows_its_key is shows
    assert not terms.model_copy(update={"key_variable": None}).shows_its_key


def test_a_broken_endpoint_is_one_problem_at_its_line(tmp_path: Path) -> None:
    file = tmp_path / "c.odcs.yaml"
    text = MINIMAL.read_text().replace("{corpus: public texts}", "{name: m, corpus: texts, endpoint: localhost}")
    file.write_text(text)
    [problem] = lint_contract(file)
    assert (problem.where, problem.what) == ("privacy.base_model.endpoint", "the endpoint is not an http or https URL")
    assert "endpoint: localhost" in text.splitlines()[problem.line - 1]


def test_terms_that_were_signed_before_there_were_endpoints_are_the_same_terms() -> None:
    now = terms_for_approval(load_contract(MINIMAL))
    then = {**now, "base_model": {k: v for k, v in now["base_model"].items() if k not in ("endpoint", "key_variable")}}
    assert then != now
    assert changes(then, now) == changes(now, then) == []


def test_another_endpoint_and_another_secret_take_two_signatures() -> None:
    before = terms_for_approval(load_contract(MINIMAL))
    after = {**before, "base_model": {**before["base_model"], "endpoint": THERE, "key_variable": "KEY"}}
    assert {change.term: change.weakens for change in changes(before, after)} == {
        "base_model.endpoint": "another server is asked for texts, and sees released ones before others do",
        "base_model.key_variable": "another secret of the environment is sent to the endpoint",
    }
    assert all(change.weakens for change in changes(after, before))


def test_a_server_s_name_is_signed_as_it_stands(tmp_path: Path) -> None:
    contract = load_contract(MINIMAL)
    base = BaseModelTerms(name="hf.co/owner/name", endpoint=THERE)
    there = contract.privacy.model_copy(update={"base_model": base})
    moved = type(contract)(**{**vars(contract), "privacy": there}).seen_from(tmp_path)
    assert moved.privacy.base_model == base
