"""The job that compares new texts as they arrive, and the sensor that starts it. Both say that it ran, nothing more.

Whether a batch drifted is a fact about sensitive texts, so a run succeeds either way, and what was found lies in the
sensitive store. What Dagster keeps are names and times of files.
"""

import glob
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field, field_validator

from dpsynth_assets.assets.common import plain_failures
from dpsynth_assets.assets.proof import UnprovenError
from dpsynth_assets.contract import Contract, resolve
from dpsynth_assets.gate.confinement import confined_output
from dpsynth_assets.gate.refusal import reading_without_content
from dpsynth_assets.gate.sources import is_protected
from dpsynth_assets.language.model_places import BaseModelError
from dpsynth_assets.publish.release import PublishError
from ledger import LedgerError
from resources.artifact_store import ArtifactError
from resources.checks import Checks
from resources.home import Home
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

_SETTLED = 60  # seconds that a file has not been written to: it is whole


class BatchConfig(dg.Config):
    """Which file to compare: one of those in which the contract has new texts arrive."""

    # Not declared as text, as a source's place is not (`assets.source`).
    batch: Any = Field(description="The path of the file.")

    @field_validator("batch")
    @classmethod
    def _is_a_path(cls, value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("give a path")
        return value


def monitoring_definitions(contract: Contract) -> dg.Definitions:
    """Job and sensor of a contract that says where new texts arrive; nothing for others."""
    terms = contract.privacy.monitoring
    if terms is None or terms.batches is None:
        return dg.Definitions()
    job = _job(contract)
    return dg.Definitions(jobs=[job], sensors=[_sensor(contract, job)])


def arrived(contract: Contract) -> list[Path]:
    """The files of new texts that are there."""
    terms = contract.privacy.monitoring
    assert terms is not None, "nobody asks otherwise"
    assert terms.batches is not None
    pattern = str(resolve(terms.batches, contract))
    return sorted(path for found in glob.iglob(pattern) if (path := Path(found)).is_file())  # noqa: PTH207 (absolute)


def _job(contract: Contract) -> dg.JobDefinition:
    name = f"monitor_{contract.id}"

    @dg.op(name=f"{name}_batch", description="Compares new texts with the published table, in the sensitive store.")
    def compare_batch(context: dg.OpExecutionContext, config: BatchConfig, sensitive_store: SensitiveStore) -> None:
        from dpsynth_assets.assets.monitored import check_batch, yardstick

        if Path(config.batch) not in arrived(contract):
            raise dg.Failure(
                f"{config.batch} is none of the files in which {contract.id} has new texts arrive "
                "(`monitoring.batches`)",
                allow_retries=False,
            )
        home = Home.at(sensitive_store.home)
        with plain_failures(ArtifactError, PublishError, UnprovenError, LedgerError, SourceError, BaseModelError):
            if is_protected(config.batch, contract, home.sensitive):
                raise SourceError(
                    f"{config.batch} is the source of {contract.id}, or a copy of it, and not new texts: its rows are "
                    "read under a charge only"
                )
            beside = yardstick(contract, home)
        with ExitStack() as closed:
            after = "Nothing was charged, and nothing of it was kept."
            closed.enter_context(reading_without_content(sensitive_store, contract, "the check of new texts", after))
            output = closed.enter_context(Checks(home.sensitive, contract.id).scratch())
            closed.enter_context(confined_output(output / "output.txt"))
            _, page = check_batch(beside, config.batch, Path(config.batch).name, home)
        context.log.info(f"Compared {config.batch}. What was found lies in {page}, for those who may read new texts.")

    @dg.job(
        name=name,
        description=(
            "Compares new texts with the published table, and keeps what it finds in the sensitive store: nothing of "
            "it shows here, not even whether anything differs."
        ),
    )
    def job() -> None:
        compare_batch()

    return job


def _sensor(contract: Contract, job: dg.JobDefinition) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{job.name}_arrivals",
        job_name=job.name,  # by the job itself Dagster 1.13 makes the sensor anew, and warns of a beta parameter
        minimum_interval_seconds=_SETTLED,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts the job once for each file of new texts, when nobody has written to it for a minute.",
    )
    def arrivals() -> Any:
        for path in arrived(contract):
            changed = path.stat().st_mtime_ns
            if time.time() - changed / 1e9 >= _SETTLED:
                config = dg.RunConfig(ops={f"{job.name}_batch": BatchConfig(batch=str(path))})
                yield dg.RunRequest(run_key=f"{path}@{changed}", run_config=config)

    return arrivals
