"""A contract's quality rules and the platform's own, run on a synthetic corpus.

Every corpus meets the platform's rules: the declared columns and no others, no missing value, labels from the declared
set, texts that say something, few repeats, few look-alikes of card numbers and the like. The contract adds its own
rules, by the snake_case names of Great Expectations. It cannot remove the rules about shape, nor those that protect
people: their limits are privacy terms (`personal_data`), so that looser ones take two signatures. The other rules about
content it replaces by a rule of the same name. A contract's rule that says exactly what a platform rule says stands for
both.

Evaluating is post-processing of a release: free, and allowed to see synthetic rows and public terms only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dpsynth_assets.contract.model import QualityRule
from dpsynth_assets.contract.source_terms import PersonalData
from dpsynth_assets.quality import expectations
from dpsynth_assets.quality.digest import digest_of_frame
from dpsynth_assets.quality.expectations import SENSITIVE_PATTERNS
from dpsynth_assets.quality.metrics.materials import Materials
from dpsynth_assets.quality.verdict import QualityError, RuleResult, Verdict

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.contract import Contract


def columns_of(contract: Contract) -> tuple[str, ...]:
    """The columns a synthetic table of this contract has: the text, then one per label."""
    return (contract.privacy.text.column, *(label.column for label in contract.privacy.labels))


def _word(column: str) -> str:
    """A column's name as part of a rule's name, which Dagster allows letters, digits and underscores only."""
    return re.sub(r"\W", "_", column, flags=re.ASCII)


def _meaning(rule: QualityRule) -> tuple[str, dict[str, Any], bool]:
    """What a rule demands, whatever its name and however its sets are ordered."""
    sets = ("column_set", "value_set", "patterns")
    kwargs = {
        key: sorted(map(repr, value)) if key in sets and isinstance(value, list | tuple) else value
        for key, value in rule.kwargs.items()
    }
    return rule.expectation, kwargs, rule.blocking


def platform_rules(contract: Contract) -> tuple[QualityRule, ...]:
    """The rules every corpus meets, filled in from the contract's public terms."""
    text = contract.privacy.text.column
    columns = columns_of(contract)
    fixed = [
        QualityRule(
            "columns_as_declared",
            "expect_table_columns_to_match_set",
            {"column_set": list(columns), "exact_match": True},
            True,
            f"The columns are exactly {', '.join(columns)}.",
        ),
        QualityRule(
            "some_rows",
            "expect_table_row_count_to_be_between",
            {"min_value": 1},
            True,
            "There is at least one row.",
        ),
        *(
            QualityRule(
                f"no_null_{_word(column)}",
                "expect_column_values_to_not_be_null",
                {"column": column},
                True,
                f"No value of {column} is missing.",
            )
            for column in columns
        ),
    ]
    content = []
    for label in contract.privacy.labels:
        values = list(label.values)
        fixed.append(
            QualityRule(
                f"declared_{_word(label.column)}",
                "expect_column_values_to_be_in_set",
                {"column": label.column, "value_set": values},
                True,
                f"Every {label.column} is one of the {len(values)} declared values.",
            )
        )
        content.append(
            QualityRule(
                f"every_{_word(label.column)}",
                "expect_column_distinct_values_to_equal_set",
                {"column": label.column, "value_set": values},
                False,
                f"Each of the {len(values)} declared values of {label.column} occurs.",
                replaceable=True,
            )
        )
    content += [
        QualityRule(
            "text_not_blank",
            "expect_column_values_to_match_regex",
            {"column": text, "regex": r"\S", "mostly": 0.99},
            True,
            "At most 1 % of the texts are blank.",
            replaceable=True,
        ),
        QualityRule(
            "text_length",
            "expect_column_value_lengths_to_be_between",
            {"column": text, "min_value": 10, "mostly": 0.95},
            False,
            "At most 5 % of the texts are shorter than 10 characters.",
            replaceable=True,
        ),
        QualityRule(
            "text_mostly_distinct",
            "expect_column_proportion_of_unique_values_to_be_between",
            {"column": text, "min_value": 0.95},
            False,
            "At most 5 % of the texts repeat another one.",
            replaceable=True,
        ),
        QualityRule(
            "text_distinct",
            "expect_column_proportion_of_unique_values_to_be_between",
            {"column": text, "min_value": 0.5},
            True,
            "At most half of the texts repeat another one.",
            replaceable=True,
        ),
    ]
    return (*fixed, *content, *_personal_data_rules(contract))


_PERSONAL = (
    ("no_account_numbers", "account_numbers", ("card_number", "iban"), True, "card numbers or IBAN"),
    ("no_addresses", "addresses", ("email", "phone"), False, "e-mail addresses or phone number"),
)


def _personal_data_rules(contract: Contract) -> list[QualityRule]:
    """The limits on look-alikes of personal data. Always judged: no rule of a contract stands for them, and a higher
    limit is a privacy term that two people sign."""
    rules = []
    for name, term, patterns, blocking, what in _PERSONAL:
        share = float(getattr(contract.privacy.personal_data, term))
        usual = float(PersonalData.model_fields[term].default)
        signed = f" Two people signed for more than the usual {100 * usual:.2g} %." if share > usual else ""
        rules.append(
            QualityRule(
                name,
                SENSITIVE_PATTERNS,
                {"column": contract.privacy.text.column, "patterns": list(patterns), "mostly": round(1 - share, 12)},
                blocking,
                f"At most {100 * share:.2g} % of the texts look as if they held {what}s.{signed}",
            )
        )
    return rules


def rules_of(contract: Contract) -> tuple[QualityRule, ...]:
    """Every rule a corpus of this contract is judged by: the platform's, then the contract's."""
    platform = platform_rules(contract)
    fixed = {rule.name for rule in platform if not rule.replaceable}
    own: dict[str, QualityRule] = {}
    for rule in contract.quality:
        if rule.name in fixed:
            raise QualityError(
                f"quality rule {rule.name!r} of {contract.id} has the name of a platform rule that always applies; "
                "give it another name"
            )
        if rule.name in own:
            raise QualityError(f"quality rule {rule.name!r} of {contract.id} is declared twice; names must differ")
        own[rule.name] = rule
    said = [_meaning(rule) for rule in own.values()]
    return (*(rule for rule in platform if rule.name not in own and _meaning(rule) not in said), *own.values())


def require_rules(contract: Contract) -> None:
    """Pass if the contract's rules can all be run.

    Raises:
        QualityError: they cannot: nothing is spent on what cannot be judged.
    """
    if problems := check_rules(contract):
        raise QualityError(f"quality rules of {contract.id} cannot be run, so nothing was spent: {'; '.join(problems)}")


def check_rules(contract: Contract) -> tuple[str, ...]:
    """What is wrong with the contract's rules, found without any data; empty when they can all be run.

    Worth asking before a budget is spent: a misspelt expectation would otherwise surface after the training it gates.
    """
    try:
        rules = rules_of(contract)
    except QualityError as error:
        return (str(error),)
    columns = columns_of(contract)
    problems = []
    for rule in rules:
        column = rule.kwargs.get("column")
        if isinstance(column, str) and column not in columns:
            problems.append(
                f"quality rule {rule.name!r}: a synthetic table has no column {column!r}, only {', '.join(columns)}"
            )
        try:
            expectations.build(rule.name, rule.expectation, rule.kwargs, {})
        except QualityError as error:
            problems.append(str(error))
    return tuple(problems)


def evaluate(frame: pd.DataFrame, contract: Contract) -> Verdict:
    """`judge`, for a contract whose rules look at nothing but the frame itself."""
    return judge(Materials(frame, contract.privacy.text.column), contract)


def judge(materials: Materials, contract: Contract) -> Verdict:
    """Judge a synthetic corpus by every rule of its contract. It must come from charged releases only.

    A rule for which the materials lack something (`metrics.measuring.needs_of`) cannot be evaluated, and has failed.
    """
    rules = rules_of(contract)
    built = [
        # Results come back in another order, and two rules may share an expectation: the meta tells them apart.
        expectations.build(rule.name, rule.expectation, rule.kwargs, {"rule": rule.name})
        for rule in rules
    ]
    digest = digest_of_frame(materials.synthetic)
    by_rule = {result.expectation_config.meta["rule"]: result for result in expectations.validate(materials, built)}
    results = []
    for rule in rules:
        result = by_rule.get(rule.name)
        raised = result is None or expectations.raised(result)
        results.append(
            RuleResult(
                name=rule.name,
                expectation=rule.expectation,
                blocking=rule.blocking,
                passed=result is not None and not raised and result.success is True,
                observed={} if result is None else expectations.numbers_of(result),
                description=rule.description,
                raised=raised,
            )
        )
    return Verdict(
        passed=all(result.passed for result in results if result.blocking),
        results=tuple(results),
        corpus_digest=digest,
        contract_digest=contract.digest,
        rows=len(materials.synthetic),
    )
