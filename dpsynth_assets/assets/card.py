"""`card`: the release's certificate in Markdown: guarantee, receipts, quality, accuracy. Free."""

from typing import Any

import dagster as dg

from dpsynth_assets import markdown
from dpsynth_assets.assets.classifier import trained_on
from dpsynth_assets.assets.common import contract_asset, of_partition, plain_failures
from dpsynth_assets.assets.contamination import contamination_sentence
from dpsynth_assets.assets.figures import guarantee, preview, receipts_metadata
from dpsynth_assets.assets.privacy_audit import audit_sentence
from dpsynth_assets.audit.result import AuditResult
from dpsynth_assets.classify.results import results_in
from dpsynth_assets.contract import Contract
from dpsynth_assets.language.contamination.facts import Facts
from dpsynth_assets.markdown import escaped
from dpsynth_assets.publish.release import NO_GUARANTEE, READ_NOTHING
from dpsynth_assets.quality.verdict import VERDICT, QualityError, Verdict
from dpsynth_assets.releases.registry import writers
from ledger import Guarantee
from ledger.visible import visible
from resources.artifact_store import Artifact, ArtifactError, ArtifactStore

CARD = "card.md"


def card_asset(declared: Contract) -> dg.AssetsDefinition:
    """The card asset of a contract."""

    @contract_asset(
        declared,
        "card",
        description="The certificate of the standing release: what is guaranteed, what it cost, how good it is.",
        kinds={"markdown"},
        after=("synthetic", "evaluation"),
    )
    def card(context: dg.AssetExecutionContext, artifact_store: ArtifactStore) -> dg.MaterializeResult[None]:
        contract = of_partition(declared, context)
        with plain_failures(ArtifactError, QualityError):
            synthetic = artifact_store.latest(contract.id, "synthetic")
            corpus = artifact_store.get(contract.id, "corpus", synthetic.receipt["about"]["corpus"])
            judged = artifact_store.get(contract.id, "verdict", synthetic.receipt["about"]["verdict"])
            verdict = Verdict.load(judged.folder / VERDICT)
            writer = writers(contract)[0].name
            written_by = artifact_store.get(contract.id, writer, corpus.receipt["about"][writer])
            evaluation = artifact_store.latest(contract.id, "evaluation")
        text = certificate(contract, synthetic, corpus, verdict, results_in(evaluation.folder), written_by)
        with artifact_store.draft(contract.id, "card") as draft:
            (draft.folder / CARD).write_text(text, encoding="utf-8")
            artifact = artifact_store.seal(draft, made_from={"evaluation": evaluation, "synthetic": synthetic})
        return dg.MaterializeResult(
            metadata={
                "card": dg.MetadataValue.md(text),
                "dagster/uri": str(artifact.folder / CARD),
                **receipts_metadata(artifact),
            }
        )

    return card


def certificate(
    contract: Contract,
    synthetic: Artifact,
    corpus: Artifact,
    verdict: Any,
    results: list[dict[str, Any]],
    written_by: Artifact,
) -> str:
    """The card's text. Everything in it is synthetic, public, a release, or a fact of ledger and contract."""
    from dpsynth_assets.classify.evaluation import table
    from dpsynth_assets.synthesis.corpus import rows_of

    terms = contract.privacy
    about = synthetic.receipt["about"]
    rules = [
        (escaped(r.name), "holds" if r.passed else "FAILS", "blocks" if r.blocking else "warns", escaped(r.description))
        for r in verdict.results
    ]
    sections = [
        f"# {escaped(contract.title)}",
        f"Synthetic table `{contract.table}`, {about['rows']:,} rows, release `{corpus.id}` of "
        f"{str(corpus.receipt['created'])[:10]}, contract `{contract.id}` {contract.version} "
        f"(SHA-256 `{contract.digest[:16]}`).",
        "## Guarantee",
        *_guarantee(contract, synthetic.seal.guarantee),
        "## Base model",
        contamination_sentence(contract, Facts.of(written_by.folder)),
        *_audit(AuditResult.of(written_by.folder)),
        "## What it cost",
        receipts_metadata(synthetic)["receipts"].value,
        f"Entries of the ledger `{synthetic.seal.ledger}`, which seals this card: `dpsynth verify {CARD} --key KEY` "
        "checks it, with the `seal.json` that lies beside it and the publisher's public key.",
        "## Quality",
        markdown.table(["rule", "result", "severity", "what it says"], rules),
        "## Usefulness",
        f"Classifiers of `{terms.classifier.target}` on the {results[0]['n']:,} records of the public test split "
        f"(declared public by {escaped(terms.test_split.declared_public_by)}); always the commonest class: "
        f"{results[0]['majority_baseline']:.1%}. Those of synthetic rows were trained on "
        f"{trained_on(terms.classifier)}. ECE is the mean gap between how sure a classifier is and how often it is "
        "right.",
        table(results),
        "## Sample",
        preview(rows_of(corpus.folder), rows=5).value or "",
        f"Owners: {', '.join(map(escaped, contract.owners))}.",
    ]
    return visible("\n\n".join(sections)) + "\n"


def _audit(result: AuditResult | None) -> list[str]:
    """How far an attack on the training got, where the contract had it attacked."""
    if result is None:
        return []
    tells = result.area_under_curve
    return [
        "## Audit",
        audit_sentence(result),
        f"It saw {result.steps} steps, and ranks a canary that took part above one that did not {tells.estimate:.1%} "
        "of the time (50 % is chance). Canaries are made up and are no texts, so none is in the table.",
    ]


def _guarantee(contract: Contract, sealed: Guarantee | None) -> list[str]:
    """What the release promises, by its seal, and what follows for whatever is made of it."""
    terms = contract.privacy
    if sealed is None:
        return [
            f"This release has {NO_GUARANTEE}. It was charged to no budget.",
            "Whatever is computed from this table and everything trained on it has none either.",
        ]
    if sealed.of_nothing_read:
        return [
            f"{READ_NOTHING[0].upper()}{READ_NOTHING[1:]}. Nothing was learned of any {terms.unit.name} of population "
            f"{terms.population}: the base model was asked for these texts by their labels, as it comes. What a "
            "release of this contract is worth is the difference to this one.",
            "Whatever is computed from this table alone and everything trained on it has the same guarantee.",
        ]
    return [
        f"This release alone: ({sealed.epsilon:.3f}, {sealed.delta:g})-differential privacy, adding or "
        f"removing one {terms.unit.name}. Over time: {guarantee(contract)}.",
        "Whatever is computed from this table and everything trained on it has the same guarantee at no further cost.",
    ]
